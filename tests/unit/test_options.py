"""The command line: what its options refuse, and what it imports to answer."""

import pytest
from conftest import fpa

from fpa.cli import VERBS, make_parser
from fpa.cli.options import IMPORTED
from fpa.workflow.snakemake_internals import says_what_is_wrong

SEED = "a whole number from 0 to 2147483647"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sample RUN --out x.npy --seed -1", SEED),
        ("sample RUN --out x.npy --count 0", "at least 1"),
        ("sample RUN --out x.npy --count many", "at least 1, found many"),
        ("sample RUN --out x.npy --threads -1", "from 0 to 1024"),
        ("interpolate RUN --out x.npy --frames 0", "from 2 to 10000"),
        ("path-length RUN --out x.json --extractor x --count 1", "at least 2"),
        ("score RUN --groups 0", "at least 2"),
        ("train run.json --store x --checkpoint-kimg nan", "above 0, found nan"),
        ("train run.json --store x --gpus 0", "at least 1"),
        ("cost run.json --out x.json --seconds nan", "of at least 0 and at most 3600, found nan"),
        ("import-official x.pt --args x --out x --kimg 0", "above 0"),
        ("status --every 0", "above 0"),
        ("verify x --rescore 10", "from 0 to 1, found 10"),
        ("danse", "invalid choice: 'danse'"),
        ("sample RUN", "required: --out"),
        ("", "required: VERB"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_code_2(tmp_path, command, expected):
    done = fpa(*command.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_verb_answers_to_its_older_name(tmp_path):
    done = fpa("live", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m fpa export-web" in done.stdout


def test_every_verb_is_registered_by_its_group():
    parser = make_parser()
    (verbs,) = (action for action in parser._actions if action.dest == "verb")
    assert list(verbs.choices) == list(VERBS) == list(dict.fromkeys([*VERBS, *IMPORTED]))


def test_a_mistake_in_the_options_is_in_the_log_too(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    words = ("cost", "run.json", "--out", "cost.json", "--log", "log")
    done = fpa(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert says_what_is_wrong([tmp_path / "log"], since=0)
    assert done.stderr.partition("error: ")[2] in (tmp_path / "log").read_text(encoding="utf-8")
