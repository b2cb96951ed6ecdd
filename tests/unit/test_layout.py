"""Rules of the code that no linter checks: no circles of imports, large libraries imported when they are used, a short way
to a training step, one place for file names, Snakemake's inside in the versions that are asked for."""

import json
import re
import tomllib
from graphlib import TopologicalSorter

import grimp
import made_up
import numpy as np
import pytest
import yaml
from conftest import ROOT, TINY, modules_loaded_by
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from snakemake.api import ResourceSettings, WorkflowSettings
from snakemake.common import __version__
from snakemake.jobs import GroupJob, Job
from snakemake.rules import Rule
from snakemake.workflow import Workflow

from fpa.workflow.snakemake_internals import VERSIONS

RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions are counted; those for type checkers alone are not."""
    graph = grimp.build_graph("fpa", "baselines", exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 50
    TopologicalSorter(imports).prepare()  # its CycleError names the modules


def test_the_way_from_snakemake_to_a_training_step_is_short_and_as_described():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.partition("## From `snakemake` to a training step")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|[^|]+\| `([^`]+)` \|$", section, flags=re.M)
    assert 0 < len(rows) <= 8
    for file, handed_on in rows:
        assert handed_on in (ROOT / file).read_text(encoding="utf-8"), file
    # Each step names the file of the next one, or what it defines.
    names = ["train.smk", "fpa train", "main", "action", "train_run", "run_to_end", "step"]
    for (file, _), (_, before), name in zip(rows[1:], rows, names, strict=False):
        assert name in before, file
    defined = {"fpa/cli/training.py": "def train(", "fpa/training/train_run.py": "def train_run("}
    defined |= {"fpa/training/loop.py": "def run_to_end(", rows[-1][0]: "def step("}
    for file, definition in defined.items():
        assert definition in (ROOT / file).read_text(encoding="utf-8"), file


def test_rules_name_no_artifact_themselves():
    known = re.findall(
        r'f?"([^"{}/]+(?:\.npy|\.npz|\.json|\.csv|\.safetensors|\.html))"',
        (ROOT / "fpa/core/artifacts.py").read_text(),
    )
    assert len(known) > 8
    for path in RULES:
        text = path.read_text()
        assert not [name for name in known if name in text], path.name


def test_no_json_is_passed_on_a_command_line():
    for path in RULES:
        assert "json" not in path.read_text().replace("{score}.json", "").replace(
            "{paths}.json", ""
        )


def ranges() -> dict[str, SpecifierSet]:
    """Which Snakemake is asked for, by file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    *_, pip = yaml.safe_load((ROOT / "workflow/envs/fpa.yaml").read_text())["dependencies"]
    named = {"pyproject.toml": project, "workflow/envs/fpa.yaml": pip["pip"]}
    return {
        path: requirement.specifier
        for path, lines in named.items()
        for requirement in map(Requirement, lines)
        if requirement.name == "snakemake"
    }


def test_the_versions_that_are_asked_for_are_those_that_were_tried():
    assert ranges() == dict.fromkeys(
        ("pyproject.toml", "workflow/envs/fpa.yaml"), SpecifierSet(VERSIONS)
    )
    assert __version__ in SpecifierSet(VERSIONS)
    lowest = min(s.version for s in SpecifierSet(VERSIONS) if s.operator == ">=")
    assert f'min_version("{lowest}")' in (ROOT / "Snakefile").read_text()


def test_what_is_not_documented_is_still_there():
    for owner, names in {
        **dict.fromkeys((Job, GroupJob, Rule), ("restart_times",)),
        Workflow: ("is_main_process", "overwrite_configfiles", "register_resource"),
        WorkflowSettings: ("cache",),
        ResourceSettings: ("nodes",),
    }.items():
        assert all(hasattr(owner, name) for name in names), owner


USE = """
import sys
from fpa.core.lazy import F, linalg, mpl, pd, plt, sns, stats, torch

heavy = ("matplotlib", "pandas", "scipy", "seaborn", "torch")
assert not [name for name in heavy if name in sys.modules]
assert pd.DataFrame({"a": [1, 2]}).a.sum() == 3
assert "pandas" in sys.modules and "torch" not in sys.modules
assert F.relu(torch.tensor(-1.0)).item() == 0
assert linalg.norm([3, 4]) == 5
import torch as real
assert torch.Tensor is real.Tensor
try:
    torch.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise AssertionError
"""


def test_a_library_is_imported_by_the_first_use_of_its_names():
    assert "torch" in modules_loaded_by(USE)


PLAN = """
import yaml
from fpa.workflow.workflow import Workflow
Workflow.start(yaml.safe_load(open("config.yaml")))
from fpa.experiment.experiment import Experiment
from fpa.reporting import bundle, tables
from fpa.reporting.figures import figures
assert figures(Experiment.read("results"))
"""
REGISTRIES = "import fpa.evaluation.extractors, fpa.evaluation.metrics, fpa.evaluation.protocols"
TABLES = """
from fpa.evaluation.scores import Score
from fpa.reporting.make import make_table
from fpa.reporting.results import Results
from pathlib import Path
scores = [Score.read(path) for path in Path("results").rglob("score-*.json")]
for kind in ("fid", "scores"):
    make_table(kind, Results(scores=scores), f"{kind}.csv")
"""
FEATURES = """
from fpa.evaluation import distances, features, memorisation, scores
both = scores.pair(features.load("f.npy"), features.load("f.npy"))
assert abs(distances.frechet_of(both.real.values, both.fake.values)) < 1e-9
memorisation.search(both.real.values, both.fake.values, both.real.values, both.real.values, 2)
"""
SHAPES = """
from fpa.models import loading
with loading.shapes_only():
    for name in ("fpa.models:FPA", "baselines.lightgan:LightGAN", "baselines.stylegan2_ada:StyleGAN2ADA"):
        loading.build(name, {}, 32, 3)
"""
STATUS = """
from fpa.cli import main
main(["status", "results"])
main(["status", "results", "--html", "x.html"])
"""
VERBS = """
from fpa.cli import main
for words in ("--help", "plan --help", "score --help", "train no --store no", "checklist no", "verify no"):
    try:
        main(words.split())
    except SystemExit:
        pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration, the made-up results of another one, and features."""
    place = tmp_path_factory.mktemp("lazy")
    made_up.fill(place, made_up.experiment(models=("fpa", "dcgan")))
    config = {**TINY, "results": "planned", "claims": None}
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    np.save(place / "f.npy", np.random.default_rng(0).normal(size=(20, 3)))
    (place / "f.json").write_text(json.dumps({"features": 3}))
    return place


SLOW = "torch scipy pandas matplotlib sklearn"


@pytest.mark.parametrize(
    ("code", "needed", "heavy"),
    [
        (PLAN, "", SLOW + " seaborn"),
        (REGISTRIES, "", "torch torch_fidelity scipy cleanfid numpy"),
        (TABLES, "pandas", "torch scipy sklearn matplotlib.pyplot"),
        (FEATURES, "sklearn", "torch torchvision torch_fidelity cleanfid"),
        (SHAPES, "torch", "torch._dynamo"),
        (STATUS, "fpa.reporting.status", "torch matplotlib pandas"),
        (VERBS, "", SLOW),
    ],
    ids="plan registries tables features shapes status verbs".split(),
)
def test_what_needs_no_large_library_imports_none(code, needed, heavy, folder):
    """Planning, help, mistakes, tables and what runs do: what users wait for answers at once."""
    loaded = modules_loaded_by(code, folder)
    assert {*needed.split()} <= loaded
    assert not {*heavy.split()} & loaded
