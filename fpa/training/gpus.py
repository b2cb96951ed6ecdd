"""Which of a machine's GPUs a process works on: one that the fewest others have taken."""

import fcntl
import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path


def visible(count: int) -> list[str]:
    """Names of the GPUs that torch counts, the same for all processes of a machine."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").replace("/", "_").split(",")
    return named if len(named) == count else [str(n) for n in range(count)]


def take(names: Sequence[str], folder: Path | None = None) -> int:
    """Place of the GPU for this process, which others then avoid until this process ends."""
    folder = folder or Path(tempfile.gettempdir(), f"fpa-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "all", "a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        # Each GPU's first place, then each one's second, ...; the lock of a dead process is free.
        for shared in itertools.count():
            for place, name in enumerate(names):
                # Open for as long as this process lives.
                file = os.open(folder / f"{name}.{shared}", os.O_CREAT | os.O_RDWR)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(file)
                else:
                    return place
    raise AssertionError("unreachable")
