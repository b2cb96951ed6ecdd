"""What torch leaves to its users: passes in float32 or without its compiler, copies without waiting."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context without torch.autocast, for what stays in float32 where the rest is bfloat16."""
    kind = x.device.type
    available = torch.amp.is_autocast_available(kind)  # not on the meta device
    return torch.autocast(kind, enabled=False) if available else nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, converted where it is less exact."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def uncompiled(*networks: nn.Module) -> AbstractContextManager[object]:
    """A context for passes of networks that `runtime.compile` may have compiled, and that are
    differentiated twice, as a penalty on a slope asks for.

    torch.compile offers first derivatives alone, and CUDA graphs likewise.
    """
    if all(network._compiled_call_impl is None for network in networks):
        # Nothing to switch off; torch's compiler takes seconds to import.
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, without waiting for the device.

    A plain copy to a GPU begins when the GPU has done all that it was asked for so far, and the host
    waits. From pinned memory, the copy is queued behind the GPU's work. torch keeps the pinned block
    until it was read.
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
