"""Synaptic learning rules: how a sequence of keys and values writes itself into a weight matrix.

With keys k_t, values v_t and learning rates b_t, the matrix W_t in R^{D x D} is

    delta rule (paper, eq. 2-4):    W_t = W_{t-1} + b_t (v_t - W_{t-1} k_t) k_t^T
    purely additive rule:           W_t = W_{t-1} + v_t k_t^T

Both are sums of rank-1 updates u_t k_t^T, so a rule's answer is the writes u_t: everything that a
picture of the painting needs follows from them (`step_images`). Each rule stands here twice, as
the plain loop (the oracle) and in its exact parallel form (what training uses).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Writing(NamedTuple):
    """What a rule makes of keys and values."""

    matrix: Tensor
    """W_T, (B, C, D, D): rows are indexed by values, columns by keys."""
    writes: Tensor
    """u_t, (B, C, T, D): W_T = W_0 + sum_t u_t k_t^T."""


Rule = Callable[..., Writing]


def delta_loop(
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    initial: Tensor | None = None,
    first_rate: bool = False,
) -> Writing:
    """The delta rule as it is written: one step after another.

    keys, values: (B, C, T, D); rates: (B, C, T, 1), or (B, C, T, D) for one rate per row of W.
    initial: W_0, (B, C, D, D) or (C, D, D); zero when None.
    first_rate: whether the first step uses its rate; the published painter does not (b_1 = 1).
    """
    B, C, T, D = keys.shape
    W = keys.new_zeros(B, C, D, D) if initial is None else initial.expand(B, C, D, D)
    writes = []
    for t in range(T):
        k, v, b = keys[:, :, t], values[:, :, t], rates[:, :, t]
        if t == 0 and not first_rate:
            b = torch.ones_like(b)
        stored = torch.einsum("bcij,bcj->bci", W, k)
        u = b * (v - stored)
        W = W + torch.einsum("bci,bcj->bcij", u, k)
        writes.append(u)
    return Writing(W, torch.stack(writes, dim=2))


def delta(
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    initial: Tensor | None = None,
    first_rate: bool = False,
) -> Writing:
    """The delta rule without the loop; arguments as in `delta_loop`, the same result.

    u_t = b_t (v_t - W_0 k_t - sum_{s<t} u_s (k_s . k_t)) is a unit lower-triangular system in u:
    (I + diag(b) tril(K K^T, -1)) U = diag(b) (V - K W_0^T), solved at once for all steps. A
    scalar rate gives one T x T system for all D rows of W; a vector rate one for each row.
    """
    if not first_rate:
        rates = torch.cat([torch.ones_like(rates[:, :, :1]), rates[:, :, 1:]], dim=2)
    targets = values if initial is None else values - keys @ initial.transpose(-1, -2)
    overlaps = (keys @ keys.transpose(-1, -2)).tril(-1)  # (B, C, T, T): k_t . k_s for s < t
    targets = rates * targets
    if rates.shape[-1] == 1:
        writes = torch.linalg.solve_triangular(
            rates * overlaps, targets, upper=False, unitriangular=True
        )
    else:
        systems = rates.transpose(-1, -2)[..., None] * overlaps[:, :, None]  # (B, C, D, T, T)
        columns = targets.transpose(-1, -2)[..., None]  # (B, C, D, T, 1)
        solved = torch.linalg.solve_triangular(systems, columns, upper=False, unitriangular=True)
        writes = solved.squeeze(-1).transpose(-1, -2)
    return Writing(_accumulate(writes, keys, initial), writes)


def additive_loop(
    keys: Tensor, values: Tensor, rates: Tensor | None = None, initial: Tensor | None = None
) -> Writing:
    """The purely additive rule, one step after another. It has no rate: `rates` is ignored."""
    B, C, T, D = keys.shape
    W = keys.new_zeros(B, C, D, D) if initial is None else initial.expand(B, C, D, D)
    for t in range(T):
        W = W + torch.einsum("bci,bcj->bcij", values[:, :, t], keys[:, :, t])
    return Writing(W, values)


def additive(
    keys: Tensor, values: Tensor, rates: Tensor | None = None, initial: Tensor | None = None
) -> Writing:
    """The purely additive rule as one matrix product, V^T K."""
    return Writing(_accumulate(values, keys, initial), values)


def _accumulate(writes: Tensor, keys: Tensor, initial: Tensor | None) -> Tensor:
    """W_T = W_0 + U^T K."""
    W = writes.transpose(-1, -2) @ keys
    return W if initial is None else W + initial


def step_images(
    writes: Tensor, keys: Tensor, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The rank-1 updates u_t k_t^T and the partial images W_t, both (B, T, C, D, D)."""
    updates = torch.einsum("bcti,bctj->btcij", writes, keys)
    partial = updates.cumsum(dim=1)
    return updates, partial if initial is None else partial + initial
