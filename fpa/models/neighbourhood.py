"""Products of every position of a map with its 3 x 3 neighbourhood, to be differentiated at will.

    correlate(a, b)[n](x) = sum over channels of a(x) b(x + n)
    gather(w, b)(x)       = sum over n of w[n](x) b(x + n)

n runs over the nine shifts, row by row from (-1, -1) to (1, 1); outside the map b is 0. Maps are
(B, heads, D, H, W), weights (B, heads, 9, H, W). The derivatives of each are made of both again, so
that no shifted copy of a map is ever kept. There are three ways to compute them:

* nine products of shifted maps, with rows laid end to end so that a shift is an offset;
* on a CPU, for many channels, one map at a time, so that everything stays in its cache, and each
  row's product with all positions of the three rows around it: nine of its diagonals are wanted;
* on a CPU, for the smallest maps, the same with a whole map in place of a row: fewest calls.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 16
"""Positions of the maps that are multiplied whole."""
MANY = 32
"""Channels from which on matrix products win."""


def correlate(a: Tensor, b: Tensor) -> Tensor:
    """Two maps (B, heads, D, H, W) -> weights (B, heads, 9, H, W)."""
    return _Correlate.apply(a, b)


def gather(weights: Tensor, b: Tensor) -> Tensor:
    """Weights (B, heads, 9, H, W) and a map (B, heads, D, H, W) -> a map of the same shape."""
    return _Gather.apply(weights, b)


def _scatter(weights: Tensor, b: Tensor) -> Tensor:
    """The transpose of `gather` in its maps: what every position x hands to x + n."""
    return gather(_Turn.apply(weights), b)


class _Correlate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        found = _form(b)[0](a.contiguous().flatten(0, 1), _padded(b))
        return found.unflatten(0, a.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        to_a, to_b = ctx.needs_input_grad
        return gather(gradient, b) if to_a else None, _scatter(gradient, a) if to_b else None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(weights, b)
        found = _form(b)[1](weights.contiguous().flatten(0, 1), _padded(b))
        return found.unflatten(0, b.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weights, b = ctx.saved_tensors
        to_weights, to_b = ctx.needs_input_grad
        return (
            correlate(gradient, b) if to_weights else None,
            _scatter(weights, gradient) if to_b else None,
        )


class _Turn(torch.autograd.Function):
    """w'[n](x) = w[-n](x + n), 0 from outside: weights seen from the other end. Its own transpose."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor) -> Tensor:
        B, heads, _, H, W = weights.shape
        row, plane = W + 2, (H + 2) * (W + 2)
        strides = (9 * plane, 3 * plane + row, plane + 1, row, 1)
        turned = _padded(weights.flip(2)).as_strided((B * heads, 3, 3, H, W), strides)
        return turned.reshape(weights.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Turn.apply(gradient)


def _padded(maps: Tensor) -> Tensor:
    """(B, heads, D, H, W) -> (N, D, H + 2, W + 2), N = B * heads, as all that follows takes them."""
    return F.pad(maps, (1, 1, 1, 1)).contiguous().flatten(0, 1)


def _form(maps: Tensor) -> tuple[Any, Any]:
    """The way to correlate and to gather."""
    D, H, W = maps.shape[2:]
    if maps.device.type != "cpu":
        return _correlate_shifted, _gather_shifted
    if H * W <= SMALLEST:
        return _correlate_whole, _gather_whole
    return (_correlate_rows, _gather_rows) if D >= MANY else (_correlate_shifted, _gather_shifted)


# Shifted maps: rows of W + 2 end to end, so that a result's every row has two positions too many ---


def _flat(maps: Tensor) -> Tensor:
    """(N, D, H, W) -> (N, D, H (W + 2) - 2)."""
    return F.pad(maps, (0, 2)).flatten(2)[..., :-2]


def _shifts(b: Tensor, length: int) -> Iterator[tuple[int, Tensor]]:
    """The nine shifts of padded maps (N, D, H + 2, W + 2), each (N, D, length)."""
    rows = b.flatten(2)
    for n in range(9):
        start = n // 3 * b.shape[3] + n % 3
        yield n, rows[..., start : start + length]


def _correlate_shifted(a: Tensor, b: Tensor) -> Tensor:
    N, _, H, W = a.shape
    a = _flat(a)
    result = a.new_empty(N, 9, H, W + 2)
    for n, shifted in _shifts(b, a.shape[2]):
        torch.sum(a * shifted, 1, out=result[:, n].flatten(1)[:, :-2])
    return result[..., :W].contiguous()


def _gather_shifted(weights: Tensor, b: Tensor) -> Tensor:
    N, _, H, W = weights.shape
    weights = _flat(weights)
    result = b.new_zeros(N, b.shape[1], H, W + 2)
    found = result.flatten(2)[..., :-2]
    for n, shifted in _shifts(b, weights.shape[2]):
        found.addcmul_(weights[:, n : n + 1], shifted)
    return result[..., :W].contiguous()


# Matrix products ---------------------------------------------------------------------------------


def _diagonals(product: Tensor, rows: int, width: int) -> Tensor:
    """The neighbours' products, a view (blocks, 3, 3, rows, width) of (blocks, keys, queries).

    Queries are `rows` rows of `width` positions, keys the rows + 2 padded ones around them.
    """
    queries = rows * width
    row = (width + 2) * queries
    strides = (product.stride(0), row, queries, row + width, queries + 1)
    return product.as_strided((len(product), 3, 3, rows, width), strides)


def _correlate_whole(a: Tensor, b: Tensor) -> Tensor:
    N, _, H, W = a.shape
    product = b.flatten(2).transpose(1, 2) @ a.flatten(2)
    return _diagonals(product, H, W).reshape(N, 9, H, W)


def _gather_whole(weights: Tensor, b: Tensor) -> Tensor:
    N, _, H, W = weights.shape
    spread = b.new_zeros(N, (H + 2) * (W + 2), H * W)
    _diagonals(spread, H, W).copy_(weights.reshape(N, 3, 3, H, W))
    return (b.flatten(2) @ spread).reshape(N, -1, H, W)


def _around(padded: Tensor) -> Tensor:
    """Of one padded map (D, H + 2, W + 2) the three rows around each, (H, D, 3 (W + 2)), a view."""
    D, height, width = padded.shape
    strides = (width, height * width, 1)
    return padded.as_strided((height - 2, D, 3 * width), strides, padded.storage_offset())


def _correlate_rows(a: Tensor, b: Tensor) -> Tensor:
    N, _, H, W = a.shape
    result = a.new_empty(N, 3, 3, H, W)
    product = a.new_empty(H, 3 * (W + 2), W)
    wanted = _diagonals(product, 1, W).squeeze(3).permute(1, 2, 0, 3)
    for n in range(N):
        torch.bmm(_around(b[n]).transpose(1, 2), a[n].transpose(0, 1), out=product)
        result[n].copy_(wanted)
    return result.reshape(N, 9, H, W)


def _gather_rows(weights: Tensor, b: Tensor) -> Tensor:
    N, _, H, W = weights.shape
    result = b.new_empty(N, b.shape[1], H, W)
    spread = b.new_zeros(H, 3 * (W + 2), W)
    places = _diagonals(spread, 1, W).squeeze(3).permute(1, 2, 0, 3)
    for n in range(N):
        places.copy_(weights[n].view(3, 3, H, W))
        torch.bmm(_around(b[n]), spread, out=result[n].transpose(0, 1))
    return result
