"""Low-pass filters of StyleGAN2: between zeros and pixels of other sizes, and on maps.

After Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), held against
numbers printed by the published implementation.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fpa.core.autocast import without_autocast

Taps = tuple[float, ...]
"""A low-pass filter, up to its scale."""
BLUR: Taps = (1, 3, 3, 1)


@functools.lru_cache(maxsize=256)
@torch.inference_mode(False)
def resampling(
    taps: Taps,
    length: int,
    up: int,
    down: int,
    padding: tuple[int, int],
    flip: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """The matrix (new length, length) of what `resample` does along one axis.

    It is kept, so that it must serve training even when an evaluation asked for it first.
    """
    # On the CPU whatever the default device: where models are only sized up, that is "meta".
    values = torch.tensor(taps if flip else taps[::-1], dtype=torch.float64, device="cpu")
    values = values * (up / values.sum())
    new = (length * up + sum(padding) - len(taps)) // down + 1
    # Where each tap of each result falls among the pixels and the zeros between them.
    news, taken = torch.arange(new, device="cpu"), torch.arange(len(taps), device="cpu")
    places = news[:, None] * down + taken - padding[0]
    rows = news[:, None].expand_as(places)
    hits = (places >= 0) & (places < length * up) & (places % up == 0)
    matrix = torch.zeros(new, length, dtype=torch.float64, device="cpu")
    matrix[rows[hits], places[hits] // up] = values.expand_as(places)[hits]
    return matrix.to(device, dtype)


def resample(
    x: Tensor,
    taps: Taps,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    flip: bool = False,
) -> Tensor:
    """Zeros between pixels (`up`), padding, filter, every `down`-th pixel; images (B, C, H, W).

    padding: before and after, along both axes; negative crops. The filter is brought to sum 1 and
    applied along both axes as a convolution, or with `flip` as a correlation; upsampling keeps the
    brightness. Each axis is one matrix product, and so are its backward passes: the way for images,
    which have few channels, and for long filters.
    """
    how = (up, down, padding, flip, x.device, x.dtype)
    rows, columns = (resampling(taps, n, *how) for n in x.shape[2:])
    return rows @ (x @ columns.T)


def upsample(x: Tensor, taps: Taps = BLUR) -> Tensor:
    """To twice the size (B, C, 2H, 2W)."""
    return resample(x, taps, up=2, padding=((len(taps) + 1) // 2, (len(taps) - 2) // 2))


def smooth(x: Tensor, padding: int, down: int = 1) -> Tensor:
    """Zeros around maps (B, C, H, W), BLUR, every `down`-th position; `resample` for many channels.

    A depthwise convolution, of which torch has no fast second derivative: as it is linear, that is
    the same convolution again.
    """
    with without_autocast(x):
        if torch.is_grad_enabled() and x.requires_grad:
            return _Smooth.apply(x, padding, down)
        return _smooth(x, padding, down)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def kernel(channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """BLUR along both axes for each channel, (C, 1, 4, 4)."""
    line = torch.tensor(BLUR, dtype=torch.float64, device="cpu")
    line = line / line.sum()
    return line.outer(line).repeat(channels, 1, 1, 1).to(device, dtype)


def _smooth(x: Tensor, padding: int, down: int) -> Tensor:
    channels = x.shape[1]
    weight = kernel(channels, x.device, x.dtype)
    return F.conv2d(x, weight, stride=down, padding=padding, groups=channels)


class _Smooth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int, down: int) -> Tensor:
        ctx.how = x.shape, padding, down
        return _smooth(x, padding, down)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _SmoothBackward.apply(gradient, *ctx.how), None, None


class _SmoothBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, shape: torch.Size, padding: int, down: int) -> Tensor:
        ctx.how = padding, down
        channels = shape[1]
        # As torch.nn.grad.conv2d_input, which would copy the maps that it is not given.
        maps, _, _ = torch.ops.aten.convolution_backward(
            gradient,
            gradient.new_empty(shape),
            kernel(channels, gradient.device, gradient.dtype),
            None,
            [down, down],
            [padding, padding],
            [1, 1],
            False,
            [0, 0],
            channels,
            [True, False, False],
        )
        return maps

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Smooth.apply(gradient, *ctx.how), None, None, None
