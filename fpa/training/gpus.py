"""Which of a machine's GPUs a process works on: those that the fewest others have taken."""

import fcntl
import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
    taken: list[int] = []
    with open(folder / "all", "a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        # Each GPU's first slot, then each one's second, ...; the lock of a dead process is free.
        for slot in itertools.count():
            for place, name in enumerate(names):
                if len(taken) == count:
                    return taken
                if place not in taken and _hold(folder / f"{name.replace('/', '_')}.{slot}"):
                    taken.append(place)
    raise AssertionError("unreachable")


def _hold(path: Path) -> bool:
    """Lock a file for as long as this process lives, unless another one holds it."""
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    return True
