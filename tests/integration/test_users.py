"""Finished runs are out of reach, whatever users do around them: twenty short random sequences.

benchmarks/soak_users.py makes hundreds of longer ones.
"""

import shutil

import pytest
import users
from conftest import plugins_dropped


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished experiment in a folder of its own."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "start").mkdir()
    made = users.Users(folder / "start", 0)
    with plugins_dropped():
        made.snakemake()
    assert len(made.finished) == 2 + 3 + 1
    return made.folder


@pytest.mark.parametrize("seed", range(20))
def test_no_finished_work_is_removed_or_made_again_unasked(finished, tmp_path, seed):
    print(*users.sequence(finished, tmp_path, seed, actions=1))


@pytest.fixture
def made(finished, tmp_path):
    """A copy that has not changed."""
    shutil.copytree(finished, tmp_path / "work")
    copied = users.Users(tmp_path / "work", 0)
    copied.finished = copied.artifacts()
    copied.check(copied.made_once())
    copied.check_table()
    return copied


@pytest.mark.parametrize("name", ["weights.safetensors", "history.csv", "score-small-*.json"])
def test_the_check_notices_a_finished_file_that_is_gone(made, name):
    next(made.folder.rglob(name)).unlink()
    with pytest.raises(AssertionError, match="lost"):
        made.check({})


def test_the_check_notices_a_file_that_is_made_again(made):
    before = made.made_once()
    path = next(made.folder.rglob("state/finished/history.csv"))
    shutil.copy(path, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    with pytest.raises(AssertionError, match="made again"):
        made.check(before)


def test_the_check_notices_a_number_that_its_inputs_do_not_have(made):
    path = made.folder / users.TABLE
    table = users.pd.read_csv(path)
    table["value"] *= 1.01
    table.to_csv(path)
    with pytest.raises(AssertionError):
        made.check_table()
