"""The device that a process works on."""

import os
from collections.abc import Collection

import torch

from fpa.core.errors import UserError
from fpa.runs import gpus, launch, memory
from fpa.runs.precision import allow


def choose(name: str, threads: int = 0, precision: Collection[str] = ()) -> torch.device:
    """The device called `auto`, `cpu` or `cuda`; sets the number of CPU threads (0: as it is)
    and has the process keep the memory that it frees.

    precision: what may be less exact than float32 there (fpa.runs.precision).

    On a machine with several GPUs, one that the fewest other processes of ours use. UserError when
    there is none, or fewer than a training's processes need.
    """
    allow(precision)
    memory.keep_freed()
    if threads:
        torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("no GPU that torch can use was found; set device: cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    names = gpus.visible(count)
    if launch.is_worker():
        place = int(os.environ["LOCAL_RANK"])
        _check_count(int(os.environ["LOCAL_WORLD_SIZE"]), count)
        if launch.is_torchrun():
            gpus.take(names[place : place + 1])
    else:
        (place,) = gpus.take(names) if count > 1 else (0,)
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def share_out(name: str, processes: int) -> dict[str, str]:
    """Environment in which the processes of one training see a GPU for each of them.

    The GPUs are taken by this process, which has to outlive them. Nothing on the CPU. UserError when
    there are fewer GPUs than processes.
    """
    if name == "cpu" or not torch.cuda.is_available():
        return {}
    count = torch.cuda.device_count()
    _check_count(processes, count)
    names = gpus.visible(count)
    return {gpus.VISIBLE: ",".join(names[place] for place in gpus.take(names, processes))}


def _check_count(asked: int, found: int) -> None:
    if asked > found:
        raise UserError(
            f"{asked} GPUs are asked for, {found} found; set runtime.gpus (--gpus) to what there is"
        )
