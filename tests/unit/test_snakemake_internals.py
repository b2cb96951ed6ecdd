"""What the workflow takes from Snakemake's inside is there, in the versions that are asked for."""

import tomllib

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
