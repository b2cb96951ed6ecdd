"""What the documents say is so: commands exist, links lead somewhere, lists agree."""

import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path
from subprocess import DEVNULL

import made_up
import numpy as np
import official
import pytest
import torch
import yaml
from conftest import (
    ROOT,
    environment,
    fpa,
    jpeg,
    plugins_dropped,
    run,
    run_snakemake,
    snakemake,
    started,
)

from fpa.cli import VERBS, make_parser
from fpa.core.errors import UserError
from fpa.data.sources import SOURCES, resolve
from fpa.evaluation.extractors import find_extractor
from fpa.evaluation.features import FeatureInfo, Features
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import KNOWN
from fpa.evaluation.scores import Pair, Settings, measure
from fpa.experiment.config import Config, DatasetSettings
from fpa.experiment.plan import Plan
from fpa.models.loading import build
from fpa.models.parts import INPUTS, RULES, SEQUENCES
from fpa.reporting.figures import figures
from fpa.reporting.make import draw
from fpa.reporting.results import Results
from fpa.reporting.tables import build as build_table
from fpa.reporting.tables import table_names

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))
DOCS = ["README.md", "CONTRIBUTING.md", *PAGES]
# These need a cache, archives, weights, conda, a cluster or an environment, or have dots: here they are only
# read by the parser that would run them. Other files run their verbs and options.
NOT_RUN_HERE = """
snakemake --cores all --cache
snakemake --sdm conda
snakemake --profile slurm --configfile experiments/paper.yaml
snakemake --cores all --configfile experiments/photographs.yaml
python -m fpa
python -m fpa train RUN.json --gpus 4 ...
python -m fpa train RUN/run.json ... --trust-class my_models:Mine
python -m fpa score my-samples/ --against celeba --protocol paper --out my-samples.json
python -m fpa score my-samples/ --against real-photographs/ --protocol quick
python -m fpa score my-samples/ --against celeba-....npz --protocol paper --digest 0123456789
python -m fpa extractor lpips_vgg16 --out data/extractors/lpips_vgg16.json
python -m fpa path-length RUN --extractor data/extractors/lpips_vgg16.json --checkpoint best --out score-ppl.json
python -m fpa reference celeba --protocol paper
python docs/performance.py
pip install .
pip install -e .[dev]
pip install .[tensorboard]
pip install .[onnx]
pip install pillow-heif
""".strip().splitlines()
# These are run as they are printed, in this order, on what `snakemake` has made in a clone.
RUN_ON_RESULTS = """
python -m fpa compare RUN_A RUN_B
python -m fpa table fid score.json --results results --out fid.csv
python -m fpa plan experiments/paper.yaml --disk
python -m fpa export RUN --out my-painter
python -m fpa sample my-painter --count 64 --out images.npy
python -m fpa sample EXPORT --trust-class their_models:Painter --out samples.npy
python -m fpa sample results/published/cats/fpa_unet --count 64 --seed 1 --out cats.npy
python -m fpa status results
python -m fpa status results/paper
python -m fpa publish results --out published --author "Family, Given" --licence CC-BY-4.0
python -m fpa checklist published
python -m fpa verify published
python -m fpa verify published --rescore 0.1 --data data
python -m fpa unpack bundle.tar.gz
python -m fpa report results
python -m fpa clean config.yaml --yes
""".strip().splitlines()
KILLED = "snakemake --cores all results/tables/fid.csv"
AFTER_IT = """
snakemake --unlock
snakemake --cores all results/tables/fid.csv
snakemake --cores all results/bundle.tar.gz
snakemake --cores all
snakemake --report report.html
""".strip().splitlines()
PROGRAMS = r"(?:make|snakemake|python|fpa|pip|mkdocs)"


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def commands() -> list[str]:
    """What the code blocks call, in their order, then the commands in the text."""
    text = "\n".join(map(text_of, DOCS))
    # Blocks of any language are found, so that none's end is taken for another's beginning.
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.S | re.M)
    lines = [line.strip() for kind, block in blocks if not kind for line in block.splitlines()]
    inline = re.findall(rf"`({PROGRAMS} [^`\n]*)`", text)
    found = [line for line in lines if re.match(rf"{PROGRAMS} ", line)] + inline
    return list(dict.fromkeys(found))


def of(*programs: str) -> list[str]:
    """The commands of some programs that are run here, without results."""
    others = {*NOT_RUN_HERE, *RUN_ON_RESULTS, *AFTER_IT} - {KILLED, "python -m fpa report results"}
    others -= {"python -m fpa status results", "snakemake --cores all"}
    others.discard("snakemake --cores all results/bundle.tar.gz")
    return [c for c in commands() if c.startswith(programs) and c not in others]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(name), flags=re.S | re.M)


# Commands -------------------------------------------------------------------------------------


def test_every_command_is_run_here_or_understood():
    found = commands()
    assert {"make fid", "make test", "python -m fpa --help"} <= set(found)
    run_here = {*of("make", "python -m fpa", "fpa", "snakemake"), *RUN_ON_RESULTS, *AFTER_IT}
    assert set(found) - run_here == set(NOT_RUN_HERE)
    assert {*RUN_ON_RESULTS, *AFTER_IT} <= set(found)
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    for command in NOT_RUN_HERE:
        program, *words = (word for word in shlex.split(command) if word != "...")
        if program == "python" and words[:2] == ["-m", "fpa"]:
            if len(words) > 3:
                # The options that a training cannot do without stand for the dots.
                more = ["--store", "DATA"] if words[2] == "train" else []
                assert make_parser().parse_args([*words[2:], *more]).verb == words[2]
        elif program == "python":
            assert (ROOT / words[0]).exists()
        elif program == "pip":
            assert set(re.findall(r"\[(\w+)\]", command)) <= set(extras)


def test_every_verb_is_run_by_a_test():
    tests = "".join(
        path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)
    )
    assert [verb for verb in VERBS if f'"{verb}"' not in tests] == []


def make(*words: str) -> subprocess.CompletedProcess:
    """Run make as from a fresh shell, whatever make runs these tests."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "USE_ENV"))}
    return subprocess.run(["make", *words], cwd=ROOT, env=clean, capture_output=True, text=True)


def test_make_targets_exist():
    words = [command.split()[1] for command in of("make")]
    done = make("-n", *dict.fromkeys(words), "USE_ENV=/usr")
    assert done.returncode == 0, done.stderr


def test_python_commands_run_in_the_order_of_the_documents(tmp_path, photographs):
    (tmp_path / "config.yaml").write_text(text_of("config.yaml"))
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as archive:
        for i, pixels in enumerate(photographs):
            archive.writestr(f"birds/{i}.jpg", jpeg(pixels))
    official.write(tmp_path, official.contents(official.gan(official.ARGS)), official.ARGS)
    np.save(tmp_path / "z.npy", np.zeros((2, official.ARGS["latent_dim"]), np.float32))
    # A reader has run the first commands of the README by now.
    assert fpa("plan", "--write", cwd=tmp_path).returncode == 0
    for command in of("python -m fpa", "fpa"):
        words = command.removeprefix("python -m ").split()[1:]
        if (
            not words
            or words == ["VERB"]
            or (len(words) == 1 and words[0] in set(VERBS) - {"models"})
        ):
            continue
        done = fpa(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert done.stdout + done.stderr


def test_what_follows_a_kill_and_a_finished_run_is_run_as_it_is_printed(tmp_path, small):
    """In a clone whose default experiment is small; RUN and the like are its one run."""
    for name in ("fpa", "baselines", "workflow", "profiles", "experiments", "Snakefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    small |= {"experiment": "default", "results": "results"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(small))
    env = environment()
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    with started(*shlex.split(KILLED), cwd=tmp_path, env=env, stdout=DEVNULL, stderr=DEVNULL) as it:
        while not list(tmp_path.glob(".snakemake/locks/*")):
            assert it.poll() is None
            time.sleep(0.05)
    # It was killed at the block's end.
    assert "LockException" in run(*shlex.split(KILLED), cwd=tmp_path, env=env).stderr
    for command in AFTER_IT:
        done = run(*shlex.split(command), cwd=tmp_path, env=env)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    (folder,) = tmp_path.glob("results/runs/*/*/seed*")
    (tmp_path / "results/published/cats").mkdir(parents=True)
    for name in ("RUN", "RUN_A", "RUN_B", "EXPORT", "results/published/cats/fpa_unet"):
        (tmp_path / name).symlink_to(folder)
    # Those of the paper's archives that are fetched by hand.
    (tmp_path / "data/archives").mkdir()
    for name in ("img_align_celeba.zip", "images.zip"):
        (tmp_path / "data/archives" / name).touch()
    (score,) = folder.glob("score-*.json")
    shutil.copy(score, tmp_path / "score.json")
    shutil.copy(tmp_path / "results/bundle.tar.gz", tmp_path)
    with plugins_dropped():
        Plan({**small, "experiment": "paper"}).experiment.write(tmp_path / "results/paper")
    for command in RUN_ON_RESULTS:
        with plugins_dropped():
            # What is published names no module that is to be imported.
            importlib.import_module("thumbnails")
            done = fpa(*shlex.split(command)[3:], cwd=tmp_path)
        # The checklist of one small training has something to say.
        expected = 1 if " checklist " in command else 0
        assert done.returncode == expected, f"{command}: {done.stdout}{done.stderr}"
        assert done.stdout + done.stderr


def test_snakemake_commands_are_understood(tmp_path):
    asked = {}
    for command in of("snakemake"):
        words = shlex.split(command)[1:]
        # Alone, an option that says how to run a workflow needs to be given one.
        asked[command] = words if {"--cores", "--profile"} & {*words} else [*words, "--cores", "1"]
    assert len(asked) > 3
    for command, words in asked.items():
        done = run_snakemake("-n", *words, "--directory", tmp_path)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}: {said}"
        assert re.search(r"^train +\d+$", said, flags=re.M), command


def test_the_papers_experiment_lists_what_is_missing_before_anything_starts(tmp_path):
    config = yaml.safe_load(text_of("experiments/paper.yaml"))
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


def test_every_verb_explains_itself(tmp_path):
    done = fpa("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert set(re.findall(r"^    ([\w-]+)(?:  |$)", done.stdout, flags=re.M)) == set(VERBS)
    for verb in VERBS:
        done = fpa(verb, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "usage: python -m fpa " + verb in done.stdout
        options = re.findall(r"^  (-\S.*|\w\S*)(?:\n {10,}|  +)(\S.*)$", done.stdout, flags=re.M)
        named = re.findall(r"^  (?:-\S|\w).*$", done.stdout, flags=re.M)
        assert len(options) == len(named), named


# The documents --------------------------------------------------------------------------------


def anchors(name: str) -> set[str]:
    """What a link may jump to in a document."""
    headings = re.findall(r"^#+ (.*)$", text_of(name), flags=re.M)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


GENERATED = {
    "docs/reference/command-line.md",
    "docs/reference/configuration.md",
    "docs/reference/model-settings.md",
}


@pytest.mark.parametrize("name", [*DOCS, "CHANGELOG.md", "config/README.md"])
def test_links_lead_to_files_and_headings(name):
    for target in re.findall(r"\]\(([^)]+)\)", text_of(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent.joinpath(path).resolve() if path else ROOT / name
        place = found.relative_to(ROOT).as_posix()
        assert place in GENERATED or found.exists(), target
        # Anchors of the Python interface's page are checked when the site is built.
        assert not anchor or anchor in anchors(place), target


def test_the_documents_name_files_that_exist():
    folders = "fpa|baselines|workflow|tests|benchmarks|experiments|profiles|slurm|docs|config"
    new = {name for row in recipe_rows() for name in row[0]}
    for name in DOCS:
        for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", text_of(name)):
            assert (ROOT / path).exists() or path in new, f"{name}: {path}"


def test_the_bibtex_and_the_citation_file_name_paper_and_software():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert "Images as Weight Matrices" in citation["references"][0]["title"]
    version = importlib.import_module("fpa").__version__
    assert citation["version"] == version
    (bibtex,) = blocks("README.md", "bibtex")
    assert citation["references"][0]["title"] in bibtex
    assert citation["title"] in bibtex
    assert f"version = {{{version}}}" in bibtex
    assert text_of("CHANGELOG.md").count(f"## {version} ") == 1


def test_the_documents_list_every_data_set_as_the_catalogue_has_it():
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", text_of("docs/datasets.md"), flags=re.M)
    listed = {name: cells for name, cells in rows if name in SOURCES}
    assert set(listed) == set(SOURCES)
    for name, source in SOURCES.items():
        cells = listed[name]
        if source.count:
            assert f" {source.count:,} " in cells
        for part in (source.archive, source.size, source.page):
            assert part in cells
        assert ("downloaded automatically" in cells) == bool(source.url)
        assert source.licence in cells


@pytest.mark.parametrize("name", ["README.md", "docs/datasets.md"])
def test_the_users_data_set_is_a_valid_configuration(tmp_path, name):
    (block,) = (block for block in blocks(name, "yaml") if "source: folder" in block)
    datasets = yaml.safe_load(block)["datasets"]
    assert len(block.splitlines()) == 5
    (mine,) = datasets.values()
    settings = DatasetSettings(**mine).model_dump()
    assert resolve("mine", settings, tmp_path, "mine").path == mine["path"]


@pytest.mark.parametrize("name", ["README.md", "docs/models.md"])
def test_the_model_of_the_documents_is_a_valid_configuration(tiny, name):
    (block,) = (block for block in blocks(name, "yaml") if "DCGAN" in block)
    tiny["models"] = yaml.safe_load(block)["models"]
    assert len(Plan(tiny).runs) == 1


def test_the_protocols_are_what_the_documents_say(tiny):
    text = text_of("docs/evaluation.md")
    block, paths = (b for b in blocks("docs/evaluation.md", "yaml") if "protocols:" in b)
    tiny["evaluation"]["protocols"] = yaml.safe_load(paths)["evaluation"]["protocols"]
    assert Plan(tiny).protocols["ppl"].of_paths
    tiny["evaluation"]["protocols"] = yaml.safe_load(block)["evaluation"]["protocols"]
    found = Plan(tiny).protocols
    assert found["clean"].n_fake == 10_000
    rows = re.findall(
        r"^\| `(\w+)` \| `([\w-]+)` \| `(\w+)`.* \| ([\d,]+)(?: paths)? \| (?:all|none) \|$",
        text,
        flags=re.M,
    )
    assert {row[0] for row in rows} == set(KNOWN)
    for name, extractor, resize, samples in rows:
        known = KNOWN[name]
        assert (extractor, resize) == (known.extractor, known.resize)
        assert int(samples.replace(",", "")) == known.n_fake


def test_the_documents_list_every_metric_and_part_of_a_painter():
    evaluation, models = text_of("docs/evaluation.md"), text_of("docs/models.md")
    for name in METRICS:
        assert re.search(rf"^\|.*`{name}`.*\|$", evaluation, flags=re.M), name
    for name in [*RULES, *INPUTS, *SEQUENCES]:
        assert re.search(rf"^\|.*`{name}`.*\|$", models, flags=re.M), name


def test_the_architecture_names_the_imports_between_packages():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    text = text_of("docs/architecture.md")
    for package in generate.PACKAGES[:-1]:
        drawn = re.search(rf"^  {package}/ .*\n .* imports (.*)$", text, flags=re.M)
        assert set(drawn[1].split(", ")) == generate.imports(package), package
    assert generate.imports("core") == set()
    drawn = re.search(r"^  library.py .*\n .* imports (.*)$", text, flags=re.M)
    assert set(drawn[1].split(", ")) == generate.imports("library")


# The site -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The documentation, built as `mkdocs build --strict` builds it."""
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build as build_site
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
        config.plugins.run_event("startup", command="build", dirty=False)
        try:
            # In strict mode a warning ends the build.
            build_site(config)
        finally:
            config.plugins.run_event("shutdown")
    return folder


def test_the_site_has_every_verb_and_every_key(site):
    verbs = (site / "reference/command-line/index.html").read_text()
    for verb in VERBS:
        assert f'id="{verb}"' in verbs
    assert "--checkpoint-kimg" in verbs
    keys = (site / "reference/configuration/index.html").read_text()
    for key in Config.model_fields:
        assert key in keys
    for key in ("datasets", "models", "evaluation"):
        assert f'id="{key}"' in keys
    assert "&lt;name&gt;.class" in keys
    assert "mini_latent_dim" in (site / "reference/model-settings/index.html").read_text()
    interface = (site / "reference/api/index.html").read_text()
    for name in ("fpa.library.load", "fpa.models.interface.Model", "fpa.core.registry.Registry"):
        assert f'id="{name}"' in interface


def test_the_site_fetches_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        fetched = re.findall(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]*)', text)
        fetched += re.findall(
            r'<link[^>]* rel="(?:stylesheet|preconnect)"[^>]*(https?:[^"]*)', text
        )
        assert not fetched, page


# The recipes ----------------------------------------------------------------------------------


def recipe_rows() -> list[tuple[list[str], list[str], int]]:
    """New files, edited files and their number, of every recipe."""
    rows = re.findall(
        r"^\| [a-z -]+ \|(.*)\|(.*)\| (\d) \|$", text_of("CONTRIBUTING.md"), flags=re.M
    )
    return [(*(re.findall(r"`([^`]+)`", part) for part in row[:2]), int(row[2])) for row in rows]


def modules() -> dict[str, str]:
    """The modules of the recipes, by name; their first line is the file's name."""
    found = {}
    for block in blocks("CONTRIBUTING.md", "python"):
        first, _, rest = block.partition("\n")
        found[first.removeprefix("# ")] = rest
    return found


@pytest.fixture
def plugins(tmp_path, monkeypatch) -> Path:
    """A folder with the recipes' modules, as the working directory."""
    for name, text in modules().items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_the_recipes_name_files_that_are_there_or_would_be_new():
    rows = recipe_rows()
    assert len(rows) == 9
    for new, edited, count in rows:
        for name in new:
            path = ROOT / name
            assert path.is_dir() or (path.parent.is_dir() and not path.exists()), name
        assert all((ROOT / name).is_file() for name in edited)
        assert count == len(new) + len(edited)


def test_the_recipes_work_from_outside(plugins, tiny):
    small = tiny["models"]["fpa"]["settings"]
    tiny["models"], tiny["plugins"] = {}, []
    for block in blocks("CONTRIBUTING.md", "yaml"):
        part = yaml.safe_load(block)
        tiny["plugins"] += part["plugins"]
        for name, model in part.get("models", {}).items():
            painter = {**small["painter"], **model["settings"]["painter"]}
            tiny["models"][name] = {**model, "settings": {**small, "painter": painter}}
        if "metrics" in part.get("evaluation", {}):
            tiny["evaluation"]["metrics"] = part["evaluation"]["metrics"]
        tiny["datasets"] |= {
            k: {**v, "resolution": 16} for k, v in part.get("datasets", {}).items()
        }
    assert set(tiny["plugins"]) == {n.removesuffix(".py") for n in modules() if n.endswith(".py")}
    experiment = Plan(tiny)
    assert len({run.digest for run in experiment.runs}) == len(experiment.runs) == 4
    assert experiment.datasets["flowers"].count == 8_189

    z = torch.randn(3, small["painter"]["latent_dim"], generator=torch.Generator().manual_seed(0))
    for planned in experiment.runs[:2]:
        model = build(planned.model.class_, planned.model.settings, 16, 1)
        painting = model.ema.paint(z)
        left, right = painting.rule_output.left, painting.rule_output.right
        torch.testing.assert_close(painting.rule_output.matrix, left.transpose(-1, -2) @ right)
        losses = model.step(torch.rand(8, 1, 16, 16))
        assert all(torch.isfinite(loss) for loss in losses.values())

    # A recurrent network's step does not see what comes later.
    network = SEQUENCES["gru"].load()(model.ema.settings, 5).eval()
    x = torch.randn(2, 4, 5)
    changed = torch.cat([x[:, :3], torch.randn(2, 1, 5)], dim=1)
    torch.testing.assert_close(network(x, None)[:, :3], network(changed, None)[:, :3])

    rng = np.random.default_rng(0)
    pair = Pair(*(Features(rng.normal(m, 1, (50, 3)), None, FeatureInfo()) for m in (0.0, 2.0)))
    measured = measure(pair, None, Settings(["mean_shift"], "symmetric", 2, 10, 4, 0))
    real, fake = (part.values.mean(axis=0) for part in pair)
    assert measured["mean_shift"].value == pytest.approx(np.sqrt(((real - fake) ** 2).sum()))

    if importlib.util.find_spec("timm") is None:
        with pytest.raises(UserError, match="pip install timm"):
            find_extractor("convnext_tiny", "here")
    else:
        assert find_extractor("convnext_tiny", "here")[1] == 224

    spec = figures(experiment.experiment)["mean_image-digits"]
    for part in spec.inputs:
        (plugins / part.path).parent.mkdir(parents=True)
        np.save(plugins / part.path, rng.uniform(0, 255, (1, 16, 16)))
    runs = [made_up.run_results("fpa", seed, {}, summary={"steps": seed}) for seed in (3, 5)]
    made = build_table("training_steps", Results(labels={"fpa": "FPA"}, runs=runs))
    assert made.frame["steps"].tolist() == [3, 5]
    assert made.shown.loc["FPA", "steps"] == "5"
    assert "training_steps" in table_names(experiment.experiment)

    draw(spec, plugins)
    assert all((plugins / file).stat().st_size > 1000 for file in spec.files)


def test_the_recipes_snakefile_adds_its_rule_to_the_workflow(plugins, tiny):
    path = plugins / "Snakefile"
    samples = Plan(tiny).sampled
    path.write_text(
        path.read_text()
        .replace("path/to/this/repository", str(ROOT))
        .replace("samples-best-n2000-seed0.npy", samples)
    )
    assert samples in path.read_text()
    (plugins / "mine.yaml").write_text(yaml.safe_dump({**tiny, "plugins": ["mean_image"]}))
    done = run_snakemake("-n", "--cores", 1, "--configfile", "mine.yaml", cwd=plugins)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^mean_image +3$", done.stdout + done.stderr, flags=re.M)


# What is installed ----------------------------------------------------------------------------


def test_the_conda_environment_lists_what_pyproject_asks_for():
    asked = tomllib.loads(text_of("pyproject.toml"))["project"]["dependencies"]
    listed = yaml.safe_load(text_of("workflow/envs/fpa.yaml"))["dependencies"]
    assert listed[-1]["pip"] == asked


def test_the_lock_file_pins_everything_and_names_no_host():
    asked = tomllib.loads(text_of("pyproject.toml"))["project"]
    lines = [line for line in text_of("requirements.lock").splitlines() if not line.startswith("#")]
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
    lines = text_of("requirements.lock").splitlines()
    left_out = {line.split("==")[0] for line in set(lines) - set(kept)}
    assert "triton" in left_out
    assert all(re.match("nvidia-|cuda-|triton", name) for name in left_out)
    assert any(line.startswith("torch==") for line in kept)
