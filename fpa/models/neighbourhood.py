"""Products of every position of a map with its 3 x 3 neighbourhood, to be differentiated at will.

    correlate(a, b)[n](x) = sum over channels of a(x) b(x + n)
    gather(w, b)(x)       = sum over n of w[n](x) b(x + n)
    scatter(w, b)(x)      = sum over n of w[n](x - n) b(x - n)

n runs over the nine shifts, row by row from (-1, -1) to (1, 1); outside the map all is 0. Maps are
(B, heads, D, H, W), weights (B, heads, 9, H, W). The derivatives of each are two of the three again,
so that no shifted copy of a map is ever kept. There are three ways to compute them:

* nine products of shifted maps, with rows laid end to end so that a shift is an offset;
* on a CPU, for many channels, one map at a time, so that everything stays in its cache, and each
  row's product with all positions of the three rows around it: nine of its diagonals are wanted;
* on a CPU, for the smallest maps, the same with a whole map in place of a row: fewest calls.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

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


def scatter(weights: Tensor, b: Tensor) -> Tensor:
    """The transpose of `gather` in its map: every position hands its weighted map on. As `gather`."""
    return _Scatter.apply(weights, b)


class _Correlate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _form(b).correlate(a, b).unflatten(0, a.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        to_a, to_b = ctx.needs_input_grad
        return gather(gradient, b) if to_a else None, scatter(gradient, a) if to_b else None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(weights, b)
        return _form(b).gather(weights, b).unflatten(0, b.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weights, b = ctx.saved_tensors
        to_weights, to_b = ctx.needs_input_grad
        return (
            correlate(gradient, b) if to_weights else None,
            scatter(weights, gradient) if to_b else None,
        )


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(weights, b)
        return _form(b).scatter(weights, b).unflatten(0, b.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        weights, b = ctx.saved_tensors
        to_weights, to_b = ctx.needs_input_grad
        return (
            correlate(b, gradient) if to_weights else None,
            gather(weights, gradient) if to_b else None,
        )


class _Form(NamedTuple):
    """One way to compute the three."""

    correlate: Callable[[Tensor, Tensor], Tensor]
    gather: Callable[[Tensor, Tensor], Tensor]
    scatter: Callable[[Tensor, Tensor], Tensor]


def _form(maps: Tensor) -> _Form:
    D, H, W = maps.shape[2:]
    if maps.device.type != "cpu":
        return _SHIFTED
    if H * W <= SMALLEST:
        return _WHOLE
    return _ROWS if D >= MANY else _SHIFTED


# What follows returns B and heads as one, N: maps (N, D, H, W), padded ones (N, D, H + 2, W + 2).


def _flat(maps: Tensor) -> Tensor:
    return maps.contiguous().flatten(0, 1)


def _padded(maps: Tensor) -> Tensor:
    return F.pad(maps, (1, 1, 1, 1)).contiguous().flatten(0, 1)


# Shifted maps: rows of W + 2 end to end, so that a result's every row has two positions too many ---


def _in_line(maps: Tensor) -> Tensor:
    """(N, D, H, W) -> (N, D, H (W + 2) - 2)."""
    return F.pad(maps, (0, 2)).flatten(2)[..., :-2]


def _shifts(padded: Tensor, length: int) -> Iterator[tuple[int, Tensor]]:
    """The nine shifts of padded maps, each (N, D, length)."""
    rows = padded.flatten(2)
    for n in range(9):
        start = n // 3 * padded.shape[3] + n % 3
        yield n, rows[..., start : start + length]


def _correlate_shifted(a: Tensor, b: Tensor) -> Tensor:
    a, b = _in_line(_flat(a)), _padded(b)
    N, D, _, row = b.shape
    # All shifts of a padded map at once, a view.
    shifts = b.as_strided((N, D, 3, 3, a.shape[2]), (*b.stride()[:2], row, 1, 1))
    result = a.new_zeros(N, 3, 3, a.shape[2] + 2)
    line = result[..., :-2]
    for channel, shifted in zip(a.unbind(1), shifts.unbind(1), strict=True):
        line.addcmul_(channel[:, None, None], shifted)
    return result.reshape(N, 9, -1, row)[..., :-2].contiguous()


def _gather_shifted(weights: Tensor, b: Tensor) -> Tensor:
    weights, b = _flat(weights), _padded(b)
    N, _, H, W = weights.shape
    weights = _in_line(weights)
    result = b.new_zeros(N, b.shape[1], H, W + 2)
    line = result.flatten(2)[..., :-2]
    for n, shifted in _shifts(b, line.shape[2]):
        line.addcmul_(weights[:, n : n + 1], shifted)
    return result[..., :W].contiguous()


def _scatter_shifted(weights: Tensor, b: Tensor) -> Tensor:
    weights, b = _flat(weights), _flat(b)
    N, D, H, W = b.shape
    weights, b = _in_line(weights), _in_line(b)
    result = b.new_zeros(N, D, H + 2, W + 2)
    for n, shifted in _shifts(result, b.shape[2]):
        # x + n is the n-th shift of a padded map.
        shifted.addcmul_(weights[:, n : n + 1], b)
    return result[..., 1:-1, 1:-1].contiguous()


_SHIFTED = _Form(_correlate_shifted, _gather_shifted, _scatter_shifted)


# Matrix products ---------------------------------------------------------------------------------


def _turned(weights: Tensor) -> Tensor:
    """w'[n](x) = w[-n](x + n): the weights seen from the other end."""
    H, W = weights.shape[3:]
    row, plane = W + 2, (H + 2) * (W + 2)
    strides = (9 * plane, 3 * plane + row, plane + 1, row, 1)
    padded = _padded(weights.flip(2))
    return padded.as_strided((len(padded), 3, 3, H, W), strides).reshape(weights.shape)


def _diagonals(product: Tensor, rows: int, width: int) -> Tensor:
    """The neighbours' products, a view (blocks, 3, 3, rows, width) of (blocks, keys, queries).

    Queries are `rows` rows of `width` positions, keys the rows + 2 padded ones around them.
    """
    queries = rows * width
    row = (width + 2) * queries
    strides = (product.stride(0), row, queries, row + width, queries + 1)
    return product.as_strided((len(product), 3, 3, rows, width), strides)


def _correlate_whole(a: Tensor, b: Tensor) -> Tensor:
    a, b = _flat(a), _padded(b)
    N, _, H, W = a.shape
    product = b.flatten(2).transpose(1, 2) @ a.flatten(2)
    return _diagonals(product, H, W).reshape(N, 9, H, W)


def _gather_whole(weights: Tensor, b: Tensor) -> Tensor:
    weights, b = _flat(weights), _padded(b)
    N, _, H, W = weights.shape
    spread = b.new_zeros(N, (H + 2) * (W + 2), H * W)
    _diagonals(spread, H, W).copy_(weights.reshape(N, 3, 3, H, W))
    return (b.flatten(2) @ spread).reshape(N, -1, H, W)


_WHOLE = _Form(_correlate_whole, _gather_whole, lambda w, b: _gather_whole(_turned(w), b))


def _each(maps: Tensor) -> Iterator[Tensor]:
    """The maps (D, H, W), one after another."""
    for sample in maps.unbind():
        yield from sample.unbind()


def _windows(maps: Tensor) -> Iterator[Tensor]:
    """Of each map the three rows around every row, (H, D, 3 (W + 2)): views of one padded map."""
    D, H, W = maps.shape[2:]
    padded = maps.new_zeros(D, H + 2, W + 2)
    around = padded.as_strided((H, D, 3 * (W + 2)), (W + 2, (H + 2) * (W + 2), 1))
    for each in _each(maps):
        padded[:, 1:-1, 1:-1] = each
        yield around


def _correlate_rows(a: Tensor, b: Tensor) -> Tensor:
    B, heads, _, H, W = a.shape
    result = a.new_empty(B * heads, 3, 3, H, W)
    product = a.new_empty(H, 3 * (W + 2), W)
    wanted = _diagonals(product, 1, W).squeeze(3).permute(1, 2, 0, 3)
    for found, each, window in zip(result, _each(a), _windows(b), strict=True):
        torch.bmm(window.transpose(1, 2), each.transpose(0, 1), out=product)
        found.copy_(wanted)
    return result.flatten(1, 2)


def _gather_rows(weights: Tensor, b: Tensor) -> Tensor:
    D, H, W = b.shape[2:]
    result = b.new_empty(b.shape[0] * b.shape[1], D, H, W)
    spread = b.new_zeros(H, 3 * (W + 2), W)
    places = _diagonals(spread, 1, W).squeeze(3).permute(1, 2, 0, 3)
    for found, each, window in zip(result, _each(weights), _windows(b), strict=True):
        places.copy_(each.reshape(3, 3, H, W))
        torch.bmm(window, spread, out=found.transpose(0, 1))
    return result


_ROWS = _Form(_correlate_rows, _gather_rows, lambda w, b: _gather_rows(_turned(w), b))
