"""Building blocks of StyleGAN2 in plain PyTorch: equalised and modulated layers, to other sizes too.

Everything is made of torch's own convolutions, so that it runs on CPU and GPU and can be
differentiated as often as a penalty asks. After Karras et al., "Analyzing and Improving the Image
Quality of StyleGAN" (2020), held against numbers printed by the published implementation.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.stylegan2_ada.filters import smooth
from fpa.models.convolutions import pointwise

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
