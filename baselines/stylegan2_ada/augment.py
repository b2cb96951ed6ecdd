"""The augmentations of StyleGAN2-ADA (`bgc`): flips and turns, geometry, colour, with probability p.

After Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B:
each transformation is applied to a sample with probability p; the geometric ones are gathered in one
matrix and carried out once, between a wavelet's up- and downsampling, so that nothing aliases.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.stylegan2_ada.layers import Taps, resample, upsample
from fpa.core import distributed
from fpa.core.torch_utils import at_least_float32, constant, without_autocast

SYM6: Taps = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
"""Low-pass of the symlet of order 6."""
SHIFT, SCALE, STRETCH = 0.125, 0.2, 0.2
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0


class Draws:
    """Random numbers of one call, (B, count): for each sample either a draw or, with 1 - p, the neutral
    value."""

    def __init__(self, images: Tensor, p: Tensor) -> None:
        self.batch, self.device, self.p = len(images), images.device, p

    def _applied(self, values: Tensor, neutral: float, p: Tensor | None = None) -> Tensor:
        chance = distributed.rand(self.batch, 1, device=self.device)
        chosen = chance < (self.p if p is None else p)
        return torch.where(chosen, values, neutral)

    def _even(self, count: int) -> Tensor:
        return distributed.rand(self.batch, count, device=self.device)

    def _normal(self, count: int) -> Tensor:
        return distributed.randn(self.batch, count, device=self.device)

    def choice(self, of: int) -> Tensor:
        """0 ... of - 1, each as likely, neutral 0."""
        return self._applied((self._even(1) * of).floor(), 0)

    def even(self, most: float, count: int = 1, p: Tensor | None = None) -> Tensor:
        """Uniform in +-most, neutral 0."""
        return self._applied((self._even(count) * 2 - 1) * most, 0, p)

    def normal(self, deviation: float, count: int = 1) -> Tensor:
        """Normal, neutral 0."""
        return self._applied(self._normal(count) * deviation, 0)

    def factor(self, deviation: float) -> Tensor:
        """2 to the power of a normal number, neutral 1."""
        return self._applied(torch.exp2(self._normal(1) * deviation), 1)


GEOMETRY = (0, 0, 0, 0, 1, 0, 1, 0, 0, 0)
"""What `_draw_geometry` draws for an image that stays where it is."""
COLOURS = (0, 1, 0, 0, 1)
"""Likewise of colours; for grey images, the first three."""


class Augmentation(nn.Module):
    """images (B, 1 or 3, H, W), about -1 to 1 -> the same, augmented; differentiable."""

    def __init__(self) -> None:
        super().__init__()
        self.p: Tensor
        self.register_buffer("p", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        # In float32 at least, also where networks work in bfloat16: places are in px.
        with without_autocast(images):
            images = at_least_float32(images)
            draws = Draws(images, self.p)
            images = drawn_only(_move, images, _draw_geometry(draws), GEOMETRY)
            colours = _draw_colours(draws, grey=images.shape[1] == 1)
            return drawn_only(_recolour, images, colours, COLOURS[: colours.shape[1]])


def drawn_only(
    change: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    drawn: Tensor,
    neutral: Sequence[float],
) -> Tensor:
    """`change` of the images for which anything but the neutral numbers was drawn; all else stays.

    On a device whose numbers the host would have to wait for, of all images: by the neutral numbers,
    they change by rounding only.
    """
    if images.device.type != "cpu":
        return change(images, drawn)
    rows = (drawn != constant(neutral, drawn)).any(1).nonzero()[:, 0]
    if len(rows) in (0, len(images)):
        return change(images, drawn) if len(rows) else images
    return images.index_copy(0, rows, change(images[rows], drawn[rows]))


# Geometry ----------------------------------------------------------------------------------------


def _draw_geometry(draws: Draws) -> Tensor:
    """(B, 10): flip, quarter turns, shift (2), scale, turn, stretch, turn, shift (2); shifts are shares
    of the size."""
    # Two turns, before and after the stretch: together they happen with probability p.
    p = 1 - (1 - draws.p).clamp(0, 1).sqrt()
    flip, quarters, shift = draws.choice(2), draws.choice(4), draws.even(SHIFT, 2)
    scale, first = draws.factor(SCALE), draws.even(math.pi, p=p)
    stretch, second = draws.factor(STRETCH), draws.even(math.pi, p=p)
    parts = (flip, quarters, shift, scale, first, stretch, second, draws.normal(SHIFT, 2))
    return torch.cat(parts, 1)


def _geometry(drawn: Tensor, size: Tensor) -> Tensor:
    """The matrix (B, 3, 3) that maps a place in the result to its place in the image (px).

    size: (2,), width and height.
    """
    flip, quarters, *_, scale, first, stretch, second, _, _ = drawn.unbind(1)
    inverse = _scale(1 - 2 * flip, torch.ones_like(flip))
    inverse = inverse @ _rotate(math.pi / 2 * quarters)
    inverse = inverse @ _translate(-(drawn[:, 2:4] * size).round())
    inverse = inverse @ _scale(1 / scale, 1 / scale)
    inverse = inverse @ _rotate(first)
    inverse = inverse @ _scale(1 / stretch, stretch)
    inverse = inverse @ _rotate(second)
    return inverse @ _translate(-drawn[:, 8:] * size)


def _move(images: Tensor, drawn: Tensor) -> Tensor:
    batch, channels, height, width = images.shape
    inverse = _geometry(drawn, constant([width, height], images))
    edge = len(SYM6) // 4
    left, right, top, bottom = _margins(inverse, width, height, edge)
    images = F.pad(images, [left, right, top, bottom], mode="reflect")
    images = upsample(images, SYM6)
    size = [batch, channels, (height + 2 * edge) * 2, (width + 2 * edge) * 2]
    # From -1 to 1, as affine_grid wants them, over px of the result twice as large, whose centre
    # lies half a px off, to px of the result; and the same way back to coordinates of the image.
    half = _translate_by(-0.5, -0.5)
    there = _scale_by(2 / images.shape[3], 2 / images.shape[2]) @ half @ _scale_by(2, 2)
    back = _scale_by(0.5, 0.5) @ np.linalg.inv(half) @ _scale_by(size[3] / 2, size[2] / 2)
    there = there @ _translate_by((left - right) / 2, (top - bottom) / 2)
    there, back = (constant(matrix.tolist(), inverse) for matrix in (there, back))
    inverse = there @ inverse @ back
    grid = F.affine_grid(inverse[:, :2], size, align_corners=False)
    images = sample(images, grid)
    before, after = (len(SYM6) - 1) // 2, (len(SYM6) - 2) // 2
    padding = (before - 2 * edge, after - 2 * edge)
    return resample(images, SYM6, down=2, padding=padding, flip=True)


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Bilinear grid_sample with zeros outside, which can be differentiated twice."""
    return _Sample.apply(images, grid)


class _Sample(torch.autograd.Function):
    """grid_sample in the images only: linear in them, so its backward is linear as well."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _SampleBackward.apply(gradient, grid, ctx.shape), None


class _SampleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        zeros = gradient.new_zeros(shape)
        # input, grid: mode 0 is bilinear, padding 0 is zeros; only the images' gradient is wanted.
        found, _ = torch.ops.aten.grid_sampler_2d_backward(
            gradient, zeros, grid, 0, 0, False, [True, False]
        )
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return sample(gradient, grid), None, None


def _margins(inverse: Tensor, width: int, height: int, edge: int) -> tuple[int, int, int, int]:
    """How far (px: left, right, top, bottom) the image must be continued for all that is sampled.

    As far as it can be, on a device whose numbers the host would have to wait for: what is sampled
    is the same.
    """
    if inverse.device.type != "cpu":
        return width - 1, width - 1, height - 1, height - 1
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = inverse.new_tensor([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]])
    places = (inverse @ corners.T)[:, :2].transpose(0, 1).flatten(1)  # (2, 4B)
    reach = torch.cat([-places, places]).amax(1)  # left, top, right, bottom
    reach = reach + reach.new_tensor([2 * edge - x, 2 * edge - y] * 2)
    most = reach.new_tensor([width - 1, height - 1] * 2)
    left, top, right, bottom = reach.clamp(min=0).minimum(most).ceil().int().tolist()
    return left, right, top, bottom


def _stack(rows: list[list[Tensor | int]], like: Tensor) -> Tensor:
    constants = torch.zeros_like(like), torch.ones_like(like)
    cells = [constants[c] if isinstance(c, int) else c for row in rows for c in row]
    return torch.stack(cells, -1).unflatten(-1, (3, 3))


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return _stack([[x, 0, 0], [0, y, 0], [0, 0, 1]], x)


def _rotate(angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return _stack([[c, -s, 0], [s, c, 0], [0, 0, 1]], angle)


def _translate(shift: Tensor) -> Tensor:
    x, y = shift.unbind(1)
    return _stack([[1, 0, x], [0, 1, y], [0, 0, 1]], x)


def _scale_by(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def _translate_by(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


# Colour: matrices (B, 4, 4) on (R, G, B, 1) ---------------------------------------------------------


def _draw_colours(draws: Draws, grey: bool) -> Tensor:
    """(B, 5): brightness, contrast, luma flip, hue, saturation; of grey images the first three."""
    parts = [draws.normal(BRIGHTNESS), draws.factor(CONTRAST), draws.choice(2)]
    if not grey:
        parts += [draws.even(math.pi), draws.factor(SATURATION)]
    return torch.cat(parts, 1)


def _colours(drawn: Tensor) -> Tensor:
    """All of them in one matrix (B, 4, 4)."""
    one = torch.eye(4, device=drawn.device)
    grey = constant([1, 1, 1, 0], drawn) / math.sqrt(3)
    luma = grey.outer(grey)
    brightness, contrast, flip, *others = drawn[:, :, None, None].unbind(1)
    matrix = one.expand(len(drawn), 4, 4).clone()
    matrix[:, :3, 3:] = brightness
    matrix = torch.cat([matrix[:, :3] * contrast, matrix[:, 3:]], dim=1)
    matrix = (one - 2 * luma * flip) @ matrix
    if not others:
        return matrix
    hue, saturation = others
    matrix = _turn_about_grey(hue.flatten()) @ matrix
    return (luma + (one - luma) * saturation) @ matrix


def _turn_about_grey(angle: Tensor) -> Tensor:
    """Rotation (B, 4, 4) of colours about the grey axis, by Rodrigues' formula."""
    axis = constant([1, 1, 1], angle) / math.sqrt(3)
    cross = constant([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], angle) / math.sqrt(3)
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turn = c * torch.eye(3, device=angle.device) + s * cross + (1 - c) * axis.outer(axis)
    matrix = torch.eye(4, device=angle.device).repeat(len(angle), 1, 1)
    matrix[:, :3, :3] = turn
    return matrix


def _recolour(images: Tensor, drawn: Tensor) -> Tensor:
    matrix = _colours(drawn)
    if images.shape[1] == 3:
        pixels = matrix[:, :3, :3] @ images.flatten(2) + matrix[:, :3, 3:]
        return pixels.reshape(images.shape)
    row = matrix[:, :3].mean(1)  # (B, 4): what happens to grey
    return images * row[:, :3].sum(1)[:, None, None, None] + row[:, 3][:, None, None, None]
