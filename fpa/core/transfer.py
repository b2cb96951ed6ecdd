"""Numbers on their way from the host to a device, without waiting for the device.

A plain copy to a GPU begins when the GPU has done all that it was asked for so far, and the host waits.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device.

    From pinned memory, the copy is queued behind the GPU's work. torch keeps the pinned block until
    it was read.
    """
    pinned = x.pin_memory() if device.type == "cuda" and x.device.type == "cpu" else x
    return pinned.to(device, non_blocking=True)


def constant(values: Sequence[Any], like: Tensor) -> Tensor:
    """A tensor of nested numbers with another one's device and type, kept for the next call.

    To be read only.
    """
    return _constant(_frozen(values), like.device, like.dtype)


def _frozen(values: Any) -> Any:
    return tuple(map(_frozen, values)) if isinstance(values, Sequence) else values


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype)
