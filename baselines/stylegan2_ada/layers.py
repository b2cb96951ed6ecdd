"""Building blocks of StyleGAN2 in plain PyTorch: filtered resampling, equalised and modulated layers.

Everything is made of torch's own convolutions, so that it runs on CPU and GPU and can be
differentiated as often as a penalty asks. After Karras et al., "Analyzing and Improving the Image
Quality of StyleGAN" (2020), held against numbers printed by the published implementation.
"""

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
GAIN = math.sqrt(2)
"""Keeps the variance behind the leaky ReLU."""
Taps = tuple[float, ...]
"""A low-pass filter, up to its scale."""
BLUR: Taps = (1, 3, 3, 1)


def activate(x: Tensor, gain: float = 1.0) -> Tensor:
    """Leaky ReLU with its gain of sqrt(2), times `gain`."""
    return F.leaky_relu(x, SLOPE) * (GAIN * gain)


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


PLANE = 8192
"""Entries up to which both axes' matrices are made one, and so one product."""


@functools.lru_cache(maxsize=256)
@torch.inference_mode(False)
def resampling_plane(taps: Taps, height: int, width: int, *how: Any) -> Tensor:
    """The matrix (height * width, new height * new width) of `resample` on whole maps."""
    rows, columns = (resampling(taps, n, *how) for n in (height, width))
    return torch.kron(rows, columns).T.contiguous()


def resample(
    x: Tensor,
    taps: Taps,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    flip: bool = False,
) -> Tensor:
    """Zeros between pixels (`up`), padding, filter, every `down`-th pixel; (B, C, H, W).

    padding: before and after, along both axes; negative crops. The filter is brought to sum 1 and
    applied along both axes as a convolution, or with `flip` as a correlation; upsampling keeps the
    brightness. Each axis is one matrix product, the smallest maps as a whole are: on maps of this
    size many times faster than a depthwise convolution, on CPUs above all, and its backward passes
    are matrix products too.
    """
    how = (up, down, padding, flip, x.device, x.dtype)
    rows, columns = (resampling(taps, n, *how) for n in x.shape[2:])
    if rows.numel() * columns.numel() <= PLANE:
        made = x.flatten(2) @ resampling_plane(taps, *x.shape[2:], *how)
        return made.unflatten(2, (len(rows), len(columns)))
    return rows @ (x @ columns.T)


def upsample(x: Tensor, taps: Taps = BLUR) -> Tensor:
    """To twice the size (B, C, 2H, 2W)."""
    return resample(x, taps, up=2, padding=((len(taps) + 1) // 2, (len(taps) - 2) // 2))


def up_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution to twice the size: transposed convolution, then the filter."""
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return resample(4 * x, BLUR, padding=(1, 1))


def down_convolve(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 or 1x1 convolution to half the size: the filter, then every second position."""
    if weight.shape[2] == 1:
        return F.conv2d(resample(x, BLUR, down=2, padding=(1, 1)), weight)
    return F.conv2d(resample(x, BLUR, padding=(2, 2)), weight, stride=2)


class Linear(nn.Module):
    """x (..., in) -> (..., out) with an equalised learning rate, scaled by `rate`."""

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        # In place: of shapes alone, a division would have torch load its compiler.
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(rate))
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv(nn.Module):
    """Convolution with an equalised learning rate, by choice to half the size; (B, C, H, W)."""

    def __init__(
        self, inputs: int, outputs: int, size: int, down: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * size * size)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.down:
            x = down_convolve(x, weight)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[2] // 2)
        return x if self.bias is None else x + self.bias[:, None, None]


def modulated(x: Tensor, weight: Tensor, styles: Tensor, up: bool = False) -> Tensor:
    """Convolve each sample with its own weights: scaled by its styles, then brought to norm 1.

    x: (B, I, H, W); weight: (O, I, 3, 3); styles: (B, I); with `up`, to twice the size. The scales
    go onto the maps, which is the same as onto the weights and shares one convolution.
    """
    norms = styles.square() @ weight.square().sum((2, 3)).T  # (B, O)
    x = x * styles[:, :, None, None]
    x = up_convolve(x, weight) if up else F.conv2d(x, weight, padding=1)
    return x * (norms + 1e-8).rsqrt()[:, :, None, None]
