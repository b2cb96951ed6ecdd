"""The one-step U-Net that may refine a painted image (paper, section 3.3)."""

from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn

from fpa.models.convolutions import Pointwise, pointwise
from fpa.models.layers import ChanNorm, linear_context
from fpa.models.painter import Painter
from fpa.models.settings import UNET_GROUPS, UNetSettings

HEADS, HEAD_DIM = 4, 32


def _conv_block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(UNET_GROUPS, outputs), nn.SiLU()
    )


class ResidualBlock(nn.Module):
    """Two (3 x 3 conv, GroupNorm, SiLU), plus the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block1 = _conv_block(inputs, outputs)
        self.block2 = _conv_block(outputs, outputs)
        self.skip = Pointwise(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.block2(self.block1(x)) + self.skip(x)


class Attention(nn.Module):
    """x + attention(ChanNorm(x)), linear (with a norm behind it) or full."""

    def __init__(self, channels: int, linear: bool) -> None:
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.linear = linear
        self.norm = ChanNorm(channels)
        self.qkv = Pointwise(channels, 3 * inner, bias=False)
        self.out = Pointwise(inner, channels)
        self.out_norm = ChanNorm(channels) if linear else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        read = self._linear if self.linear else self._full
        return x + self.out_norm(read(self.norm(x)))

    def _linear(self, x: Tensor) -> Tensor:
        """out(V K^T Q), from the inside out: neither V nor V K^T Q are made of each position."""
        B, C, H, W = x.shape
        to_q, to_k, to_v = self.qkv.weight.chunk(3)
        q = pointwise(x, to_q).reshape(B, HEADS, HEAD_DIM, H * W).softmax(dim=2).flatten(1, 2)
        k = pointwise(x, to_k).flatten(2).softmax(dim=2)  # (B, heads * head_dim, H*W)
        context = linear_context(x.flatten(2), k, to_v.flatten(1), HEADS)
        to_out = self.out.weight.reshape(C, HEADS, HEAD_DIM).transpose(0, 1)
        read = (to_out @ (context * HEAD_DIM**-0.5)).transpose(1, 2)  # (B, C, heads, head_dim)
        assert self.out.bias is not None
        out = torch.baddbmm(self.out.bias[:, None], read.flatten(2), q)
        return out.reshape(B, C, H, W)

    def _full(self, x: Tensor) -> Tensor:
        B, _, H, W = x.shape
        q, k, v = self.qkv(x).reshape(B, 3, HEADS, HEAD_DIM, H * W).unbind(1)
        scores = (q * HEAD_DIM**-0.5).transpose(2, 3) @ k  # (B, heads, queries, keys)
        out = v @ scores.softmax(dim=3).transpose(2, 3)
        return self.out(out.reshape(B, -1, H, W))


class Level(nn.Module):
    """One resolution on the way down or up: two residual blocks and linear attention."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(inputs, outputs)
        self.block2 = ResidualBlock(outputs, outputs)
        self.attention = Attention(outputs, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.block2(self.block1(x)))


class UNet(nn.Module):
    """image (B, C, D, D) -> image (B, C, D, D), without a time embedding.

    The base width is D, as published, unless the settings name another.
    """

    def __init__(self, image_size: int, channels: int, settings: UNetSettings) -> None:
        super().__init__()
        self.tanh_input, self.residual = settings.tanh_input, settings.residual
        width = settings.width or image_size
        widths = [width]
        multiplier = 1
        while multiplier <= settings.max_multiplier:
            widths.append(width * multiplier)
            multiplier *= 2
        pairs = list(pairwise(widths))
        self.first = nn.Conv2d(channels, width, 7, padding=3)
        self.down = nn.ModuleList(Level(i, o) for i, o in pairs)
        self.shrink = nn.ModuleList(nn.Conv2d(o, o, 4, stride=2, padding=1) for _, o in pairs[:-1])
        self.middle = nn.Sequential(
            ResidualBlock(widths[-1], widths[-1]),
            Attention(widths[-1], linear=False),
            ResidualBlock(widths[-1], widths[-1]),
        )
        self.up = nn.ModuleList(Level(2 * o, i) for i, o in reversed(pairs))
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(i, i, 4, stride=2, padding=1) for i, _ in reversed(pairs[1:])
        )
        self.last = ResidualBlock(2 * width, width)
        self.to_image = Pointwise(width, channels)
        if settings.residual:
            nn.init.zeros_(self.to_image.weight)
            assert self.to_image.bias is not None
            nn.init.zeros_(self.to_image.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = first = self.first(x)
        skips = []
        for i, level in enumerate(self.down):
            x = level(x)
            skips.append(x)
            if i < len(self.shrink):
                x = self.shrink[i](x)
        x = self.middle(x)
        for i, level in enumerate(self.up):
            x = level(torch.cat([x, skips.pop()], dim=1))
            if i < len(self.grow):
                x = self.grow[i](x)
        return self.to_image(self.last(torch.cat([x, first], dim=1)))


class RefinedPainter(nn.Module):
    """A painter and the U-Net on its image; the U-Net's output takes the painter's last tanh too.

    A residual U-Net's output is added to the painter's matrix W_T before that tanh:
    tanh(W_T + U-Net(image)), which is the painter's own image while the last layer is zero.

    By default the painter is frozen: it gets no gradient and is not among the parameters that
    require one. Otherwise it is trained along, by a loss on its own image or, with `gradient`, by
    that on the refined one.
    """

    def __init__(
        self, painter: Painter, unet: UNet, frozen: bool = True, gradient: bool = False
    ) -> None:
        super().__init__()
        self.painter, self.unet = painter.requires_grad_(not frozen), unet
        self.latent_dim = painter.latent_dim
        self.frozen, self.gradient = frozen, gradient
        self.tanh = painter.settings.tanh_image
        self.tanh_input = self.tanh if unet.tanh_input is None else unet.tanh_input

    def forward(self, z: Tensor, unrefined: bool = False) -> Tensor:
        """Refined images (B, C, D, D); (2B, C, D, D) with the `unrefined` ones before them."""
        with torch.no_grad() if self.frozen else nullcontext():
            painting = self.painter.paint(z)
        seen = painting.image
        if self.tanh_input != self.tanh:
            seen = painting.rule_output.matrix
            seen = seen.tanh() if self.tanh_input else seen
        refined = self.unet(seen if self.gradient else seen.detach())
        if self.unet.residual:
            matrix = painting.rule_output.matrix
            refined = refined + (matrix if self.gradient else matrix.detach())
        refined = refined.tanh() if self.tanh else refined
        return torch.cat([painting.image, refined]) if unrefined else refined
