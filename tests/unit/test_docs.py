"""What the documents say is so: commands exist, links lead somewhere, lists agree."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml
from conftest import ROOT, environment, fpa, jpeg, snakemake

from fpa.data.sources import SOURCES, resolve
from fpa.evaluation.protocols import KNOWN
from fpa.experiment.config import check_dataset
from fpa.experiment.plan import Experiment

DOCS = ["README.md", "CONTRIBUTING.md"]
# These need broken or finished runs, a cache, or archives: other tests have them.
ELSEWHERE = [
    "snakemake --unlock",
    "snakemake --report report.html",
    "snakemake --cores all --cache",
    "snakemake --profile slurm --configfile experiments/paper.yaml",
    "python -m fpa compare RUN_A RUN_B",
    "python -m fpa train RUN.json --gpus 4 ...",
    "python -m fpa unpack bundle.tar.gz",
    "python -m fpa export RUN --out my-painter",
    "python -m fpa sample my-painter --count 64 --out images.npy",
]


def commands() -> list[str]:
    """What the code blocks call, in their order, then the commands in the text."""
    text = "\n".join((ROOT / name).read_text() for name in DOCS)
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.S | re.M)
    lines = [line for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:make|snakemake|python -m fpa)[^`]*)`", text)
    found = [c.strip() for c in lines + inline if re.match(r"make|snakemake|python", c)]
    return list(dict.fromkeys(found))


def test_the_documents_name_commands():
    found = commands()
    assert {"make fid", "make test", "python -m fpa --help"} <= set(found)


def make(*words: str) -> subprocess.CompletedProcess:
    """Run make as from a fresh shell, whatever make runs these tests."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=ROOT, env=clean, capture_output=True, text=True)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_make_targets_exist(command):
    target = command.split()[1]
    done = make("-n", target, "USE_ENV=/usr")
    assert done.returncode == 0, done.stderr


def test_python_commands_run_in_the_order_of_the_documents(tmp_path, photographs):
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as archive:
        for i, pixels in enumerate(photographs):
            archive.writestr(f"birds/{i}.jpg", jpeg(pixels))
    for command in (c for c in commands() if c.startswith("python") and c not in ELSEWHERE):
        words = command.split()[3:]
        if words in ([], ["<verb>"]):
            words = ["--help"]
        done = fpa(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", [c for c in commands() if c.startswith("snakemake") and c not in ELSEWHERE]
)
def test_snakemake_commands_are_understood(command):
    words = [w for w in command.replace("...", "").split()[1:] if w]
    if words in (["--sdm", "conda"], []):
        words = ["--help"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_papers_experiment_lists_what_is_missing_before_anything_starts(tmp_path):
    config = yaml.safe_load((ROOT / "experiments/paper.yaml").read_text())
    config["inception_weights"] = "weights"
    done = snakemake(config, tmp_path, "-n")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "celeba: there is no data/archives/img_align_celeba.zip; get" in said
    assert "metfaces: there is no data/archives/images.zip; get" in said
    assert "afhq.zip (0.7 GB): not here, will be fetched" in said
    for name in ("inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"):
        assert f"inception_weights: there is no {name} in the folder weights" in said
    assert len(said.splitlines()) < 24
    # With the archives in place it is planned whole.
    (tmp_path / "data/archives").mkdir(parents=True)
    for name in ("img_align_celeba.zip", "images.zip"):
        (tmp_path / "data/archives" / name).touch()
    config["inception_weights"] = None
    done = snakemake(config, tmp_path, "-n", "--quiet", "rules", "host")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train +72$", done.stdout + done.stderr, flags=re.M)


@pytest.mark.parametrize("name", DOCS)
def test_links_lead_to_files(name):
    text = (ROOT / name).read_text()
    headings = {h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, flags=re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "verb",
    "plan models download prepare inspect extractor train sample paint strokes interpolate neighbours excerpt features score compare cost table figure report export bundle unpack".split(),
)
def test_every_verb_explains_itself(verb):
    done = fpa(verb, "--help", cwd=ROOT)
    assert done.returncode == 0
    assert "usage: python -m fpa " + verb in done.stdout
    options = re.findall(r"^  (-\S.*|\w\S*)(?:\n {10,}|  +)(\S.*)$", done.stdout, flags=re.M)
    named = re.findall(r"^  (?:-\S|\w).*$", done.stdout, flags=re.M)
    assert len(options) == len(named), named


def test_the_readme_lists_every_data_set_as_the_catalogue_has_it():
    text = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, flags=re.M)
    listed = {name: cells for name, cells in rows if name in SOURCES}
    assert set(listed) == set(SOURCES)
    for name, source in SOURCES.items():
        cells = listed[name]
        if source.count:
            assert f" {source.count:,} " in cells
        for part in (source.archive, source.size, source.page):
            assert part in cells
        assert ("fetched by itself" in cells) == bool(source.url)
        assert source.licence in cells


def test_the_readmes_own_data_set_is_a_valid_configuration(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    (block,) = (block for block in blocks if "source: folder" in block)
    datasets = yaml.safe_load(block)["datasets"]
    assert len(block.splitlines()) == 5
    (mine,) = datasets.values()
    assert resolve("mine", check_dataset(mine, "mine"), tmp_path, "mine")["path"] == mine["path"]


def test_the_readmes_protocols_are_what_it_says(tiny):
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
    (block,) = (block for block in blocks if "protocols:" in block)
    tiny["evaluation"]["protocols"] = yaml.safe_load(block)["evaluation"]["protocols"]
    found = Experiment(tiny).protocols
    assert found["clean"].n_fake == 10_000
    rows = re.findall(
        r"^\| `(\w+)` \| `([\w-]+)` \| `(\w+)`.* \| ([\d,]+) \| all \|$", text, flags=re.M
    )
    assert {row[0] for row in rows} == set(KNOWN)
    for name, extractor, resize, samples in rows:
        known = KNOWN[name]
        assert (extractor, resize) == (known["extractor"], known["resize"])
        assert int(samples.replace(",", "")) == known["n_fake"]


def test_the_conda_environment_lists_what_pyproject_asks_for():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = yaml.safe_load((ROOT / "workflow/envs/fpa.yaml").read_text())["dependencies"]
    assert listed[-1]["pip"] == asked


def test_the_lock_file_pins_everything_and_names_no_host():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert all(re.match(r"[a-zA-Z0-9_.\-]+==\S+", line) for line in lines)
    pinned = {line.split("==")[0].lower() for line in lines}
    for requirement in [*asked["dependencies"], *asked["optional-dependencies"]["dev"]]:
        assert re.match(r"[a-zA-Z0-9_.\-]+", requirement)[0].lower() in pinned


def test_the_cpu_build_of_torch_leaves_out_gpu_libraries_and_nothing_else():
    done = make("-n", "-B", "fid", "CPU_TORCH_INDEX=INDEX")
    assert "PIP_EXTRA_INDEX_URL=INDEX" in done.stdout
    (filtering,) = (line for line in done.stdout.splitlines() if line.startswith("grep"))
    kept = subprocess.run(
        filtering.split(">")[0], shell=True, cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    left_out = {line.split("==")[0] for line in set(lines) - set(kept)}
    assert "triton" in left_out
    assert all(re.match("nvidia-|cuda-|triton", name) for name in left_out)
    assert any(line.startswith("torch==") for line in kept)


def test_the_citation_file_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert "Images as Weight Matrices" in citation["references"][0]["title"]
