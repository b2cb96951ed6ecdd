"""Rules of the code that no linter checks: no circles of imports, a short way to a training step, one place
for file names."""

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
