"""Several delta-rule updates a step: one after the other (DeltaProduct), or at once (rank r).

`settings.updates` n is the number of updates a step; the sequence of keys, values and rates has T n
entries, those of one step side by side.
"""

import torch
from torch import Tensor, nn

from fpa.models.learning_rules.base import (
    Writing,
    accumulate,
    solve_unit_lower,
    start,
    start_uniform,
)
from fpa.models.learning_rules.delta import DeltaRule
from fpa.models.settings import PainterSettings


class DeltaProductRule(DeltaRule):
    """n updates a step, each of the matrix that the one before has left.

    DeltaProduct (Siems et al., 2025, arXiv:2502.10297): a step's transition is a product
    of n (generalised) Householder matrices I - b k k^T. As all updates of a step are the delta
    rule's, so is the whole sequence of T n updates, and its parallel form.
    """


class RankRDeltaRule:
    """One update of rank n a step: W_t = W_{t-1} + sum_i b_ti (v_ti - W_{t-1} k_ti) k_ti^T.

    All n parts read the same matrix. In terms of Sun et al. ("Learning to (Learn at Test Time)",
    2024, arXiv:2407.04620, section 2.4) this is a step of mini-batch gradient descent on
    sum_i ||W k_i - v_i||^2 / 2, the delta rule one of online gradient descent.
    """

    def __init__(self, settings: PainterSettings) -> None:
        self.settings = settings

    def rate_size(self, size: int) -> int:
        return 1

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        start_uniform(layer, size, channels, self.settings)

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> Writing:
        rank = self.settings.updates
        keys = raw_keys.softmax(dim=-1) if self.settings.softmax_keys else raw_keys
        rates = raw_rates.sigmoid() if self.settings.sigmoid_rates else raw_rates
        if initial is None:
            # As in the delta rule: the first step, here all of it, has nothing to be weighed with.
            first = torch.ones_like(rates[:, :, :rank])
            rates = torch.cat([first, rates[:, :, rank:]], dim=2)
        matrix, left = rank_r_delta(keys, values, rates, rank, initial)
        return Writing(matrix, left, keys, rates)


def rank_r_delta_loop(
    keys: Tensor, values: Tensor, rates: Tensor, rank: int, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """W_T (B, C, D, D) and the left factors (B, C, T n, D), one step after another.

    keys, values: (B, C, T n, D); rates: (B, C, T n, 1); rank: n. initial: W_0, (B, C, D, D) or
    (C, D, D); zero when None.
    """
    W = start(keys, initial)
    left = []
    for first in range(0, keys.shape[2], rank):
        before = W
        for t in range(first, first + rank):
            k, v, b = keys[:, :, t], values[:, :, t], rates[:, :, t]
            u = b * (v - torch.einsum("bcij,bcj->bci", before, k))
            W = W + torch.einsum("bci,bcj->bcij", u, k)
            left.append(u)
    return W, torch.stack(left, dim=2)


def rank_r_delta(
    keys: Tensor, values: Tensor, rates: Tensor, rank: int, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same without the loop: the delta rule's system without overlaps inside a step."""
    targets = values if initial is None else values - keys @ initial.transpose(-1, -2)
    step = torch.arange(keys.shape[2], device=keys.device) // rank
    earlier = step[:, None] > step  # (T n, T n)
    overlaps = (keys @ keys.transpose(-1, -2)) * earlier
    left = solve_unit_lower(rates * overlaps, rates * targets)
    return accumulate(left, keys, initial), left
