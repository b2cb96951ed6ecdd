"""Which of a machine's GPUs a process works on: those that the fewest others have taken."""

import fcntl
import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible(count: int) -> list[str]:
    """Names of the GPUs that torch counts, the same for all processes of a machine."""
    named = os.environ.get(VISIBLE, "").split(",")
    return named if len(named) == count else [str(n) for n in range(count)]


def take(names: Sequence[str], count: int = 1, folder: Path | None = None) -> list[int]:
    """Places in `names` of so many GPUs, which others then avoid until this process ends.

    count: at most as many as there are names. All trainings and other jobs of a user on a machine
    choose here, one at a time, however many GPUs each of them takes.
    """
    folder = folder or Path(tempfile.gettempdir(), f"fpa-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "all", "a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        slots = [_slots(folder, name) for name in names]
        fewest = sorted(range(len(names)), key=lambda place: slots[place].users)[:count]
        for place in fewest:
            # Open, and so locked, for as long as this process lives.
            _lock(slots[place].free)
        return fewest


class Slots(NamedTuple):
    """Files of one GPU, each locked by a process that has taken it; the lock of a dead one is free."""

    users: int
    free: Path
    """The first file that nobody has locked."""


def _slots(folder: Path, name: str) -> Slots:
    users, free = 0, None
    for number in itertools.count():
        path = folder / f"{name.replace('/', '_')}.{number}"
        if not path.exists():
            return Slots(users, free or path)
        file = _lock(path)
        if file is None:
            users += 1
        else:
            os.close(file)
            free = free or path
    raise AssertionError("unreachable")


def _lock(path: Path) -> int | None:
    """A descriptor of the file, locked; None when another one has the lock."""
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
