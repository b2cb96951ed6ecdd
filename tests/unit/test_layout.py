"""Rules of the code that no linter checks: no circles of imports, one place for file names."""

import re
from graphlib import TopologicalSorter

import grimp
from conftest import ROOT

RULES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions are counted; those for type checkers alone are not."""
    graph = grimp.build_graph("fpa", "baselines", exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 50
    TopologicalSorter(imports).prepare()  # its CycleError names the modules


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
