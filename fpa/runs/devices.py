"""The device that a process works on, and the memory that it keeps.

On a machine with several GPUs, a process takes those that the fewest other processes have taken.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from fpa.core.errors import UserError
from fpa.core.lazy import torch
from fpa.runs import processes
from fpa.runs.execution import set_precision

NAMES = ("auto", "cpu", "cuda")
VISIBLE = "CUDA_VISIBLE_DEVICES"

# mallopt's parameters, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def choose(name: str, threads: int = 0, precision: Collection[str] = ()) -> torch.device:
    """The device called `auto`, `cpu` or `cuda`; sets the number of CPU threads (0: as it is)
    and has the process keep the memory that it frees.

    precision: what may be less exact than float32 there (fpa.runs.execution).

    On a machine with several GPUs, the one that the fewest other processes of this package use. UserError
    when there is none, or fewer than a training's processes need.
    """
    if name not in NAMES:
        raise UserError(f"device: expected auto, cpu or cuda, found {name!r}")
    set_precision(precision)
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("no GPU that torch can use was found; set device: cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    names = visible_gpus(count)
    if processes.is_worker():
        place = int(os.environ["LOCAL_RANK"])
        _check_count(int(os.environ["LOCAL_WORLD_SIZE"]), count)
        if processes.is_torchrun():
            take_gpus(names[place : place + 1])
    else:
        (place,) = take_gpus(names) if count > 1 else (0,)
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def assign_gpus(name: str, count: int) -> dict[str, str]:
    """Environment in which so many processes of one training see a GPU for each of them.

    The GPUs are taken by this process, which has to outlive them. Nothing on the CPU. UserError when
    there are fewer GPUs than processes.
    """
    if name == "cpu" or not torch.cuda.is_available():
        return {}
    found = torch.cuda.device_count()
    _check_count(count, found)
    names = visible_gpus(found)
    return {VISIBLE: ",".join(names[place] for place in take_gpus(names, count))}


def _check_count(asked: int, found: int) -> None:
    if asked > found:
        raise UserError(
            f"{asked} GPUs are asked for, {found} found; set runtime.gpus (--gpus) to what there is"
        )


def visible_gpus(count: int) -> list[str]:
    """Names of the GPUs that torch counts, the same for all processes of a machine."""
    named = os.environ.get(VISIBLE, "").split(",")
    return named if len(named) == count else [str(n) for n in range(count)]


def take_gpus(names: Sequence[str], count: int = 1, folder: Path | None = None) -> list[int]:
    """Places in `names` of so many GPUs, which others then avoid until this process ends.

    count: at most as many as there are names. All trainings and other jobs of a user on a machine
    choose here, one at a time, however many GPUs each of them takes.
    """
    folder = folder or Path(tempfile.gettempdir(), f"fpa-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "all", "ab") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        slots = [_slots(folder, name) for name in names]
        fewest = sorted(range(len(names)), key=lambda place: slots[place][0])[:count]
        for place in fewest:
            # Open, and so locked, for as long as this process lives.
            _lock(slots[place][1])
        return fewest


def _slots(folder: Path, name: str) -> tuple[int, Path]:
    """Processes that have taken a GPU, and the first file of its that nobody has locked.

    Each of them locks one; the lock of a dead one is free.
    """
    users, free = 0, None
    for number in itertools.count():
        path = folder / f"{name.replace('/', '_')}.{number}"
        if not path.exists():
            break
        file = _lock(path)
        if file is None:
            users += 1
        else:
            os.close(file)
            free = free or path
    return users, free or path


def _lock(path: Path) -> int | None:
    """A descriptor of the file, locked; None when another one has the lock."""
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def keep_freed_memory() -> bool:
    """Let malloc reuse what was freed, whatever its size; True if this system's C library can.

    glibc gives every freed block of more than 32 MiB back to the system at once, and the next tensor of
    that size gets pages that have to be mapped and cleared anew. At the paper's size that is over a
    third of a training step's CPU time.

    The process then holds what it needed at its peak, plus gaps between blocks, until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # No block in a mapping of its own, and none of the heap's end cut off.
    return all(
        mallopt(parameter, value) for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))
    )
