"""Layers that several networks share: channel norm, blur, the dual attention, initialisation."""

import functools
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpa.models.convolutions import Pointwise, pointwise
from fpa.models.neighbourhood import correlate, gather

LEAK = 0.1
"""Negative slope of every leaky ReLU in discriminator and LightGAN."""


class ChanNorm(nn.Module):
    """Layer norm over the channels at each position, (B, C, H, W) -> same."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        # Two means: several times faster on a CPU than torch.var_mean over this dimension.
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        return centred * (variance + self.eps).rsqrt() * self.gain + self.shift


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def blurring(
    size: int, scale: int, padding: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> Tensor:
    """What `Blur` does along one axis, as a matrix (new size, size). Kept, so that it serves training
    even when an evaluation asked for it first."""
    line = torch.eye(size, dtype=dtype, device="cpu").repeat_interleave(scale, dim=0)
    padded = torch.cat([line[1:2], line, line[-2:-1]])
    blurred = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return F.pad(blurred, (0, 0, *padding)).to(device)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def blurring_plane(height: int, width: int, *how: Any) -> Tensor:
    """The same on maps in one line, (height * width, new height * new width), to multiply from the
    right."""
    rows, columns = (blurring(size, *how) for size in (height, width))
    return torch.kron(rows, columns).T.contiguous()


PLANE = 8192
"""Entries up to which the matrices of both axes are made one."""


class Blur(nn.Module):
    """[1, 2, 1] x [1, 2, 1] / 16 on every channel, borders reflected; then zeros around.

    scale: every pixel becomes so many squared before. padding: zeros before and after, along both
    axes. As matrix products, along each axis or, for the smallest maps, both at once: several times
    faster than a depthwise convolution on CPUs, most of all where it is differentiated twice.
    """

    def __init__(self, scale: int = 1, padding: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.scale, self.padding = scale, padding

    def forward(self, x: Tensor) -> Tensor:
        how = self.scale, self.padding, x.device, x.dtype
        rows, columns = (blurring(size, *how) for size in x.shape[2:])
        if rows.numel() * columns.numel() <= PLANE:
            made = x.flatten(2) @ blurring_plane(*x.shape[2:], *how)
            return made.unflatten(2, (len(rows), len(columns)))
        return rows @ (x @ columns.T)


def blur_or_identity(blur: bool) -> nn.Module:
    """The blur of LightGAN, or the identity that the painters' discriminator has in its place."""
    return Blur() if blur else nn.Identity()


def linear_context(x: Tensor, keys: Tensor, to_v: Tensor, heads: int) -> Tensor:
    """V K^T of each head, (B, heads, D, D), of maps X (B, C, N), keys (B, heads * D, N), V = to_v X.

    to_v: (heads * D, C). As to_v (K X^T)^T, so that no values are made, and that the gradient of the
    keys comes in their own layout.
    """
    sums = torch.bmm(keys, x.transpose(1, 2)).unflatten(1, (heads, -1))  # (B, heads, D, C)
    return to_v.unflatten(0, (heads, -1)) @ sums.transpose(2, 3)


class DualAttention(nn.Module):
    """x + A(ChanNorm(x)): a linear (global) and a local 3 x 3 attention branch side by side.

    Of the published LightGAN-style discriminator: `heads` heads of `head_dim` in each branch, the
    branches' outputs concatenated and mixed back to the input's channels by a 1 x 1 convolution.
    """

    def __init__(self, channels: int, heads: int = 8, head_dim: int = 64) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads, self.scale = heads, head_dim**-0.5
        self.norm = ChanNorm(channels)
        self.linear_q = Pointwise(channels, inner, bias=False)
        self.linear_kv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            Pointwise(channels, 2 * inner, bias=False),
        )
        self.local_q = Pointwise(channels, inner, bias=False)
        self.local_kv = Pointwise(channels, 2 * inner, bias=False)
        self.out = Pointwise(2 * inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        return x + self.out(torch.cat([self._linear(normed), self._local(normed)], dim=1))

    def _linear(self, x: Tensor) -> Tensor:
        """Linear attention: every position reads from one (head_dim x head_dim) summary.

        That is V K^T, and V = W_v X: taken as W_v (X K^T), no values are made of each position.
        """
        B, _, H, W = x.shape
        q = self.linear_q(x).reshape(B, self.heads, -1, H * W).softmax(dim=2)
        depthwise, to_kv = self.linear_kv
        x = depthwise(x)
        to_k, to_v = cast(Pointwise, to_kv).weight.chunk(2)
        k = pointwise(x, to_k).flatten(2).softmax(dim=2)
        context = linear_context(x.flatten(2), k, to_v.flatten(1), self.heads)
        out = (context * self.scale) @ q  # (B, heads, head_dim, H*W)
        return F.gelu(out.reshape(B, -1, H, W))

    def _local(self, x: Tensor) -> Tensor:
        """Each position attends to its 3 x 3 neighbourhood; outside it score and value are 0."""
        B, _, H, W = x.shape
        q = self.local_q(x).reshape(B, self.heads, -1, H, W) * self.scale
        k, v = self.local_kv(x).reshape(B, 2, self.heads, -1, H, W).unbind(1)
        return gather(correlate(q, k).softmax(dim=2), v).reshape(B, -1, H, W)


def init_kaiming(module: nn.Module) -> None:
    """Kaiming normal (fan-in, gain sqrt 2) for convolutions and linear maps; for `Module.apply`.

    As published, biases and transposed convolutions stay as torch starts them.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in", nonlinearity="leaky_relu")
