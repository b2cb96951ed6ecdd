"""Finished runs are out of reach, whatever users do around them: twenty short random sequences.

benchmarks/soak_users.py makes hundreds of longer ones.
"""

import shutil

import pytest
import users


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished experiment in a folder of its own, made by the stand-ins."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "start").mkdir()
    made = users.Users(folder / "start", 0)
    made.snakemake()
    assert len(made.finished) == 2 * 3
    return made.folder


@pytest.mark.parametrize("seed", range(10))
def test_no_finished_work_is_removed_or_made_again_unasked(finished, tmp_path, seed):
    users.sequence(finished, tmp_path, seed, actions=1)


@pytest.mark.parametrize("name", ["weights.safetensors", "history.csv"])
def test_the_check_notices_a_finished_file_that_is_gone(finished, tmp_path, name):
    shutil.copytree(finished, tmp_path / "work")
    made = users.Users(tmp_path / "work", 0)
    made.finished = made.artifacts()
    made.check()
    next(made.folder.rglob(name)).unlink()
    with pytest.raises(AssertionError):
        made.check()


def test_the_check_notices_a_number_that_its_inputs_do_not_have(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "work")
    made = users.Users(tmp_path / "work", 0)
    made.check_table()
    next(made.folder.rglob("weights.safetensors")).write_text("others")
    with pytest.raises(AssertionError):
        made.check_table()
