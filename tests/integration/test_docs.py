"""What the documents say is so: commands exist, links lead somewhere, lists agree."""

import importlib
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import sys
import time
import tomllib
import zipfile
from contextlib import ExitStack
from glob import glob
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess
from unittest import mock

import made_up
import numpy as np
import official
import pytest
import torch
import yaml
from conftest import ROOT, fpa, jpeg, plugins_dropped, png, run, run_snakemake, snakemake, started

from fpa.cli import VERBS, make_parser
from fpa.core.errors import UserError
from fpa.data.sources import SOURCES, resolve
from fpa.evaluation.extractors import EXTRACTORS, find_extractor
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
PROGRAMS = r"(?:make|snakemake|python|fpa|pip|mkdocs|ln)"
NOT_RUN = {
    "make bench": "half an hour; tests/unit/test_benchmarks.py runs all of it in a small size",
    "make lock": "needs uv, and a package index to ask",
    "python docs/effective_rank.py --store data/afhq_cat-32px-*": "needs photographs; test_published.py runs it on digits",
    "pip install pillow-heif": "needs a package index; tests have a stand-in for the package",
    "snakemake --cores all --sdm conda": "needs conda and its channels",
}
"""Commands that no test runs, and why."""
RUN_ELSEWHERE = {
    "ln -s ~/Pictures/birds photographs": "test_photographs.py",
    "snakemake --cores all --configfile experiments/photographs.yaml": "test_photographs.py",
    "snakemake --profile slurm --configfile experiments/paper.yaml": "slurm/test_slurm.py",
    "python -m fpa status results/paper": "slurm/test_slurm.py",
}
"""Those that tests of another file run as they are printed."""


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def commands() -> list[str]:
    """What the code blocks call, in their order, then --help, then the commands in the text."""
    parser = make_parser()
    (verbs,) = (action.choices for action in parser._actions if action.dest == "verb")
    # Without the usage, which is no command.
    helps = [p.format_help().partition("\n\n")[2] for p in (parser, *verbs.values())]
    text = "\n".join([*map(text_of, DOCS), *helps])
    # Blocks of any language are found, so that none's end is taken for another's beginning.
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.S | re.M)
    printed = "\n".join([*(block for kind, block in blocks if not kind), *helps])
    found = re.findall(rf"^ *({PROGRAMS} .*)$", printed, flags=re.M)
    found += re.findall(rf"`({PROGRAMS} [^`\n]*)`", text)
    return [command for command in dict.fromkeys(found) if command != "python -m fpa"]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(name), flags=re.S | re.M)


# Commands -------------------------------------------------------------------------------------


class Clone:
    """A copy of the repository, in which commands are run as a reader of the documents runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran = folder, []
        folders = "fpa baselines benchmarks config docs experiments profiles slurm tests workflow"
        for name in (*folders.split(), "results/published", "snakemake_logger_plugin_fpa"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for path in filter(Path.is_file, ROOT.iterdir()):
            shutil.copy2(path, folder)
        of_tests = ("MAKE", "MFLAGS", "PYTEST")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(of_tests)},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{"USE_ENV": sys.prefix, "VIRTUAL_ENV": sys.prefix, "CUDA_VISIBLE_DEVICES": ""},
            "MYPY_CACHE_DIR": f"{ROOT / '.mypy_cache'}",
            "SNAKEMAKE_OUTPUT_CACHE": f"{folder / 'cache'}",
            # What depends on a package index is installed. 0 is for pip to isolate no build.
            **{"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"},
            "PIP_PREFIX": f"{folder / 'installed'}",
        }

    def run(self, command: str) -> CompletedProcess:
        """A line as a shell takes it; our own verbs in this process, which is quicker, and with
        networks without weights in the place of those whose weights would be fetched."""
        if not re.match(r"(python -m )?fpa ", command):
            return run("bash", "-c", command, cwd=self.folder, env=self.environment)
        words = shlex.split(command.removeprefix("python -m "))[1:]
        found = [sorted(glob(word, root_dir=self.folder)) or [word] for word in words]
        with plugins_dropped(), mock.patch.dict(os.environ, self.environment), ExitStack() as stack:
            plugin = importlib.import_module("thumbnails")
            one, two = plugin.Thumbnails(), plugin.Squared()
            parts = {"files": {}, "features": 48, "load": one.load, "load_pairs": two.load_pairs}
            for name in ("inception_v3", "lpips_vgg16"):
                patch = mock.patch.multiple(EXTRACTORS[name], obtain=one.obtain, **parts)
                stack.enter_context(patch)
            return fpa(*itertools.chain(*found), cwd=self.folder)

    def runs(self, *printed: str, makes: str = "") -> str:
        """Run commands; what the last one said. It makes this file, others the one of their --out."""
        for command in printed:
            promised = makes if command == printed[-1] else ""
            promised = promised or (re.findall(r" --out (\S+)", command) or [""])[0]
            if (self.folder / promised).is_file():
                (self.folder / promised).unlink()
            self.ran.append(command)
            done = self.run(command)
            said = done.stdout + done.stderr
            # Of one small training, a checklist has something to say.
            assert done.returncode == (" checklist " in command), f"{command}: {said}"
            assert (self.folder / promised).exists(), command
        return said


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def site(clone) -> Path:
    """The documentation, as `make docs` builds it; a warning ends that."""
    clone.runs("make docs", makes="site/index.html")
    return clone.folder / "site"


KEPT = {"cats": "cats", "digits": "digits-seeds", "digits-ablations": "digits-ablations"}
"""The kept results, and the experiment of each."""
SMALL = {
    "their_models.py": "from baselines.dcgan import DCGAN as Painter\n",
    "tests/unit/test_quick.py": "def test(): pass\n",
    "tests/unit/test_slow.py": "import pytest\n\n@pytest.mark.slow\ndef test(): pass\n",
    "tests/integration/test_whole.py": "def test(): pass\n",
}
"""Files of a clone with small experiments."""


def make_small(clone: Clone, small: dict, photographs: list) -> None:
    """Experiments, lock file and tests are small ones from here on; images are there."""
    dcgan = {"class": "baselines.dcgan:DCGAN", "settings": {"width": 8, "latent_dim": 8}}
    small["models"]["dcgan"] = dcgan
    small["evaluation"] |= {"cross_check": False, "metrics": ["fid"]}
    small |= {"experiment": "default", "results": "results", "bundle": {"weights": True}}
    small |= {"plugins": ["thumbnails", "few"]}
    smoke = {**small, "experiment": "smoke", "results": "results/smoke", "models": {"dcgan": dcgan}}
    files = {"config": small, "experiments/smoke": smoke}
    files |= {f"experiments/{n}": {**small, "results": f"results/{n}"} for n in KEPT.values()}
    lock = re.findall(r"^(?:#|nvidia-|cuda-|triton=).*\n", text_of("requirements.lock"), re.M)
    for plugin in ("thumbnails", "few"):
        shutil.move(clone.folder / f"tests/{plugin}.py", clone.folder)
    shutil.rmtree(clone.folder / "tests")
    for folder in ("tests/unit", "tests/integration", "cache", "my-samples", "real-photographs"):
        (clone.folder / folder).mkdir(parents=True)
    texts = {f"{name}.yaml": yaml.safe_dump(config) for name, config in files.items()}
    for name, text in {**texts, **SMALL, "requirements.lock": "".join(lock)}.items():
        (clone.folder / name).write_text(text)
    clone.environment["FPA_PLUGINS"] = "thumbnails,few"

    official.write(clone.folder, official.contents(official.gan(official.ARGS)), official.ARGS)
    np.save(clone.folder / "z.npy", np.zeros((2, official.ARGS["latent_dim"]), np.float32))
    with zipfile.ZipFile(clone.folder / "birds.zip", "w") as archive:
        for i, pixels in enumerate(photographs):
            archive.writestr(f"birds/{i}.jpg", jpeg(pixels))
            for part, folder in enumerate(("my-samples", "real-photographs")):
                (clone.folder / folder / f"{i}.png").write_bytes(png(pixels[part:][:16, :16, 0]))


def test_commands_are_run_as_they_are_printed(clone, site, small, photographs):
    """In the order in which the states come about that the text describes."""
    runs, folder = clone.runs, clone.folder
    # A fresh clone, without the archives that are fetched by hand, and with them.
    runs("make lint", "python docs/performance.py", "make golden", makes="tests/data/golden.json")
    runs("pip install -e .[dev]", "pip install .[tensorboard]", "pip install .[onnx]")
    runs("pip install .", makes="installed/bin/fpa")
    runs("python -m fpa sample results/published/cats/fpa_unet --count 64 --seed 1 --out cats.npy")
    assert np.load(folder / "cats.npy").shape == (64, 3, 32, 32)
    clone.run("fpa unpack results/published/cats/bundle.tar.gz --into results/cats")
    assert "| afhq_cat | FPA | 7.8 |" in runs("python docs/effective_rank.py results/cats")
    shutil.rmtree(folder / "results/cats")
    disk = "python -m fpa plan experiments/paper.yaml --disk"
    assert "there is no data/archives/img_align_celeba.zip" in clone.run(disk).stderr
    (folder / "data/archives").mkdir(parents=True)
    for name in ("img_align_celeba.zip", "images.zip"):
        (folder / "data/archives" / name).touch()
    assert "at most, together" in runs(disk)
    planned = clone.run("snakemake -n --cores 1 --configfile experiments/paper.yaml --quiet rules")
    assert re.search(r"^train +72$", planned.stdout + planned.stderr, flags=re.M)

    make_small(clone, small, photographs)
    for command, passed in (("test", 3), ("test-unit", 1), ("test-integration", 1)):
        assert f"{passed} passed" in runs(f"make {command}")

    # By hand, alone and in two processes; the workflow takes that over.
    plan, prepare = "plan config.yaml --write", "prepare digits --config config.yaml"
    for command in [command for command in commands() if " train " in command]:
        shutil.rmtree(folder / "results/runs", ignore_errors=True)
        runs(f"python -m fpa {plan}", f"python -m fpa {prepare}", command)
    clone.run("fpa train results/runs/digits/dcgan/*/run.json --store data/digits-16px-*")
    runs("python -m fpa sample results/runs/digits/fpa/seed0-* --count 2000 --out samples.npy")
    assert np.load(folder / "samples.npy").shape == (2000, 1, 16, 16)
    (weights,) = folder.glob("results/runs/digits/fpa/seed0-*/weights.safetensors")
    before = weights.stat().st_mtime_ns
    table, page = "results/tables/fid.csv", "results/report.html"
    fid = ("snakemake", "--cores", "all", table)
    with started(*fid, cwd=folder, env=clone.environment, stdout=DEVNULL, stderr=DEVNULL) as it:
        while not list(folder.glob(".snakemake/locks/*")):
            assert it.poll() is None
            time.sleep(0.05)
    assert "LockException" in clone.run("make fid").stderr  # it was killed at the block's end
    assert "dcgan" in runs("snakemake --unlock", "make fid", makes=table)
    assert weights.stat().st_mtime_ns == before
    for command in ("make fid USE_ENV=$VIRTUAL_ENV", " ".join(fid)):
        assert "Nothing to be done" in runs(command)
    del clone.environment["USE_ENV"]
    assert "Nothing to be done" in runs("make fid CPU_TORCH_INDEX=ADDRESS", makes=".venv/.ready")
    assert "\n" not in (folder / ".venv/requirements-cpu.txt").read_text().strip()
    clone.environment["USE_ENV"] = sys.prefix

    # An experiment that is not finished, then one that is, and bundles of it.
    assert clone.run("snakemake --report report.html").returncode == 1
    assert not (folder / "report.html").exists()
    runs("python -m fpa report results", makes=page)
    runs("snakemake --cores all --keep-going", makes=page)
    for path in (*weights.parent.glob("score-*.json"), folder / table):
        path.unlink()
    runs("snakemake --cores all --cache", makes=page)
    assert list((folder / "cache").iterdir())
    runs("snakemake --cores all --resources gpu=1", makes=table)
    runs("snakemake --cores all", makes=page)
    runs("snakemake --report report.html", makes="report.html")
    runs("snakemake --cores all results/bundle.tar.gz", makes="results/bundle.tar.gz")
    shutil.copy(folder / "results/bundle.tar.gz", folder)
    for name, experiment in KEPT.items():
        shutil.copy(folder / "bundle.tar.gz", folder / f"results/published/{name}")
        runs(f"make {name}", makes=f"results/{experiment}/report.html")
        runs(f"snakemake --cores all --configfile experiments/{experiment}.yaml")
    runs("make smoke", makes=".smoke/results/smoke/report.html")
    # The same results, in the place where they are without `make`.
    shutil.move(folder / ".smoke/results/smoke", folder / "results/smoke")
    shutil.rmtree(folder / "results/smoke/tables")
    page = "results/smoke/report.html"
    runs("snakemake --cores all --configfile experiments/smoke.yaml", makes=page)

    # In a folder without results, a bundle's; all others, in the order of the documents.
    shutil.rmtree(folder / "results")
    runs("python -m fpa unpack bundle.tar.gz")
    # Somebody has exported a generator of a class of their own.
    clone.run("fpa export results/runs/digits/dcgan/* --out their-export")
    theirs = folder / "their-export/generator.json"
    theirs.write_text(theirs.read_text().replace("baselines.dcgan:DCGAN", "their_models:Painter"))
    assert {*clone.ran, *NOT_RUN, *RUN_ELSEWHERE} <= {*commands()}
    for command, file in RUN_ELSEWHERE.items():
        assert command in (Path(__file__).parent / file).read_text()
    runs(*(c for c in commands() if c not in {*clone.ran, *NOT_RUN, *RUN_ELSEWHERE}))


def test_every_verb_is_run_by_a_test():
    tests = "".join(
        path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)
    )
    assert [verb for verb in VERBS if f'"{verb}"' not in tests] == []


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


GENERATED = {f"docs/reference/{n}.md" for n in ("command-line", "configuration", "model-settings")}


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


def test_the_cpu_build_of_torch_leaves_out_no_torch():
    (left_out,) = re.findall(r"grep -vE '(.*)' requirements.lock", text_of("Makefile"))
    lines = text_of("requirements.lock").splitlines()
    kept = {line.split("==")[0] for line in lines if not re.match(left_out, line)}
    assert kept & {"torch", "torchvision", "triton"} == {"torch", "torchvision"}
