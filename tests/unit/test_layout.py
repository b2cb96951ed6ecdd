"""Rules of the code that no linter checks: no circles of imports, a short way to a training step, one place
for file names, and what is taken from Snakemake's inside in the versions that are asked for."""

import re
import tomllib
from graphlib import TopologicalSorter

import grimp
import pytest
import yaml
from conftest import ROOT
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
    assert f'min_version("{lowest}.0")' in (ROOT / "Snakefile").read_text()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Job, "restart_times"),
        (GroupJob, "restart_times"),
        (Rule, "restart_times"),
        (Workflow, "is_main_process"),
        (Workflow, "overwrite_configfiles"),
        (Workflow, "register_resource"),
        (WorkflowSettings, "cache"),
        (ResourceSettings, "nodes"),
    ],
)
def test_what_is_not_documented_is_still_there(owner, name):
    assert hasattr(owner, name)
