"""Convolutions in the forms that a CPU computes fastest: few channels, small maps, upsampled maps.

The parameters are those of the convolutions that they stand for, and so are the numbers, to rounding.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 2**17 if torch.backends.cpu.get_cpu_capability() == "AVX512" else math.inf
"""Multiplications an image up to which a 1 x 1 convolution is a product of matrices; larger ones gain from
AVX-512, and without it none does."""
FEW = 8
"""Channels of a result up to which a transposed convolution is a product and overlapping sums of it."""


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1 x 1 convolution: x (B, I, H, W), weight (O, I, 1, 1), bias (O,) -> (B, O, H, W)."""
    multiplications = weight.numel() * x.shape[2] * x.shape[3]
    if x.device.type != "cpu" or multiplications > SMALL:
        return F.conv2d(x, weight, bias)
    return _product(weight.flatten(1), x.flatten(2), bias).unflatten(2, x.shape[2:])


def transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0
) -> Tensor:
    """A transposed convolution: x (B, I, H, W), weight (I, O, k, k), bias (O,) -> (B, O, H', W')."""
    _, outputs, size, _ = weight.shape
    if x.device.type != "cpu" or outputs > FEW:
        return F.conv_transpose2d(x, weight, bias, stride=stride, padding=padding)
    height, width = ((n - 1) * stride - 2 * padding + size for n in x.shape[2:])
    patches = _product(weight.flatten(1).T, x.flatten(2), None)
    made = F.fold(patches, (height, width), size, padding=padding, stride=stride)
    return made if bias is None else made + bias[:, None, None]


def _product(matrix: Tensor, maps: Tensor, bias: Tensor | None) -> Tensor:
    """matrix (O, I) times each of the maps (B, I, N), plus bias (O,): (B, O, N).

    Not as `matrix @ maps`, whose backward pass copies. Not len(maps) either: an export would keep the
    number of the images that it is traced with.
    """
    matrices = matrix.expand(maps.shape[0], -1, -1)
    if bias is None:
        return torch.bmm(matrices, maps)
    return torch.baddbmm(bias[:, None], matrices, maps)


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


class FromImage(nn.Conv2d):
    """A convolution of images; one of a single channel is a product with the patches that it sees.

    For the sake of the image's gradient, which takes ten times as long as the convolution itself.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.in_channels > 1:
            return super().forward(x)
        (size, _), (stride, _), padding = self.kernel_size, self.stride, self.padding[0]
        assert isinstance(padding, int)
        height, width = ((n + 2 * padding - size) // stride + 1 for n in x.shape[2:])
        patches = F.unfold(x, size, padding=padding, stride=stride)
        product = _product(self.weight.flatten(1), patches, self.bias)
        return product.unflatten(2, (height, width))


class FromVector(nn.ConvTranspose2d):
    """A transposed convolution of a map of one position: (B, I, 1, 1) -> (B, O, size, size)."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert self.bias is not None
        made = x.flatten(1) @ self.weight.flatten(1)
        return made.unflatten(1, self.weight.shape[1:]) + self.bias[:, None, None]


class WholeMap(nn.Conv2d):
    """A convolution whose kernel covers the map: (B, I, size, size) -> (B, O, 1, 1)."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(1), self.weight.flatten(1), self.bias)[..., None, None]


class FewChannels(nn.Conv2d):
    """A 3 x 3 convolution to the few channels of an image, zeros around it; keeps the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # A convolution is a transposed one with its kernel turned.
        return transposed(x, self.weight.flip(2, 3).transpose(0, 1), self.bias, padding=1)


class UpConv(nn.Conv2d):
    """Every pixel made 2 x 2, then a 3 x 3 convolution with zeros around: (B, I, H, W) -> (B, O, 2H, 2W).

    As one transposed convolution, whose 4 x 4 kernel holds the sum of the weights that meet the same
    pixel: 4/9 of the multiplications, and no enlarged map.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kernel = 4 * F.avg_pool2d(self.weight, 2, stride=1, padding=1)  # sums of 2 x 2
        return transposed(x, kernel.flip(2, 3).transpose(0, 1), self.bias, stride=2, padding=1)
