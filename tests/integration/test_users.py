"""Finished runs are out of reach, whatever users do around them: twenty short random sequences.

benchmarks/soak_users.py makes hundreds of longer ones.
"""

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
