"""The device that a process works on."""

import os
from collections.abc import Collection

import torch

from fpa.common.errors import UserError
from fpa.training import gpus, launch, memory
from fpa.training.precision import allow


def choose(name: str, threads: int = 0, precision: Collection[str] = ()) -> torch.device:
    """The device called `auto`, `cpu` or `cuda`; sets the number of CPU threads (0: as it is)
    and has the process keep the memory that it frees.

    precision: what may be less exact than float32 there (fpa.training.precision).

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
    if launch.is_worker():
        place = int(os.environ["LOCAL_RANK"])
    else:
        place = gpus.take(gpus.visible(count)) if count > 1 else 0
    if place >= count:
        raise UserError(
            f"{os.environ['WORLD_SIZE']} GPUs are asked for, {count} found; "
            "set runtime.gpus (--gpus) to what there is"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)
