"""Parts of a network that stay in float32 where the rest works in bfloat16."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """A context without torch.autocast, for work on this tensor's device."""
    kind = x.device.type
    available = torch.amp.is_autocast_available(kind)  # not on the meta device
    return torch.autocast(kind, enabled=False) if available else nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, converted where it is less exact."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
