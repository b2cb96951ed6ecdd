"""The house's rules that no linter checks: small modules, thin rules, one place for file names."""

import re

import pytest
from conftest import ROOT

MODULES = [path for room in ("fpa", "baselines") for path in sorted((ROOT / room).rglob("*.py"))]
RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_small(path):
    assert len(path.read_text().splitlines()) <= 350


def test_the_rules_preamble_is_short():
    assert len((ROOT / "workflow/rules/common.smk").read_text().splitlines()) < 100


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


def test_verbs_stand_beside_their_arguments_and_do_no_work():
    for path in sorted((ROOT / "fpa/cli").glob("*.py")):
        text = path.read_text()
        for number, body in enumerate(re.split(r"^@verb\(\w+\)\n", text, flags=re.M)[1:]):
            verb = body.partition("\n\n\n")[0]
            assert len(verb.splitlines()) < 45, (path.name, number)
