"""Tensors on their way from the host to a device."""

import torch
from torch import Tensor


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, where the host does not wait for a GPU.

    A plain copy to a GPU first waits until the GPU has done everything asked of it so far. One from
    pinned memory is queued behind that work; torch keeps the pinned block until it was read.
    """
    if device.type != "cuda" or x.device.type == "cuda":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)
