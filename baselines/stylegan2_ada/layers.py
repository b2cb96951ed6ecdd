"""Building blocks of StyleGAN2 in plain PyTorch: low-pass filters, equalised and modulated layers.

Everything is made of torch's own convolutions and products, so that it runs on CPU and GPU and can be
differentiated as often as a penalty asks. After Karras et al., "Analyzing and Improving the Image
Quality of StyleGAN" (2020), held against numbers printed by the published implementation.
"""

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fpa.core.torch_utils import without_autocast
from fpa.models.convolutions import pointwise

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


SLOPE = 0.2
GAIN = math.sqrt(2)
"""Keeps the variance behind the leaky ReLU. It stands in the weights and biases of the layer before:
a positive factor may go through a leaky ReLU, and there it costs no pass over a map."""


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU, of a layer that has the gain."""
    return F.leaky_relu(x, SLOPE)


def up_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution to twice the size: transposed convolution, then the filter."""
    return smooth(F.conv_transpose2d(x, 4 * weight.transpose(0, 1), stride=2), padding=1)


def down_convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3x3 or 1x1 convolution to half the size: the filter, then every second position."""
    if weight.shape[2] == 1:
        return pointwise(smooth(x, padding=1, down=2), weight, bias)
    return F.conv2d(smooth(x, padding=2), weight, bias, stride=2)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 or 1x1 convolution that keeps the size."""
    if weight.shape[2] == 1:
        return pointwise(x, weight, bias)
    return F.conv2d(x, weight, bias, padding=1)


class Linear(nn.Module):
    """x (..., in) -> (..., out), times `gain`, with an equalised learning rate, scaled by `rate`."""

    def __init__(
        self, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0, gain: float = 1.0
    ) -> None:
        super().__init__()
        # In place: of shapes alone, a division would have torch load its compiler.
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(rate))
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.scale, self.rate = gain * rate / math.sqrt(inputs), gain * rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv(nn.Module):
    """Convolution times `gain`, with an equalised learning rate, by choice to half the size; (B, C, H, W)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        down: bool = False,
        bias: bool = True,
        gain: float = GAIN,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.gain = gain / math.sqrt(inputs * size * size), gain
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        bias = None if self.bias is None else self.bias * self.gain
        if self.down:
            return down_convolve(x, weight, bias)
        return convolve(x, weight, bias)


def modulated(x: Tensor, weight: Tensor, styles: Tensor, up: bool = False) -> tuple[Tensor, Tensor]:
    """Convolve each sample with its own weights: scaled by its styles, then brought to norm 1.

    x: (B, I, H, W); weight: (O, I, 3, 3); styles: (B, I); with `up`, to twice the size. The scales
    go onto the maps, which is the same as onto the weights and shares one convolution. Returns maps
    (B, O, H', W') and the factors (B, O, 1, 1) that they are still to be multiplied by.
    """
    norms = styles.square() @ weight.square().sum((2, 3)).T  # (B, O)
    x = x * styles[:, :, None, None]
    x = up_convolve(x, weight) if up else convolve(x, weight)
    return x, (norms + 1e-8).rsqrt()[:, :, None, None]
