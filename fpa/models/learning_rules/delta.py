"""The delta rule (paper, eq. 2-4): W_t = W_{t-1} + b_t (v_t - W_{t-1} k_t) k_t^T.

It stands here twice: as the plain loop (the oracle) and in its exact parallel form (what training
uses). Both return the left factors u_t = b_t (v_t - W_{t-1} k_t); the right factors are the keys.
"""

import torch
from torch import Tensor, nn

from fpa.models.learning_rules.base import (
    Writing,
    accumulate,
    first_rate_one,
    solve_unit_lower,
    start,
    start_uniform,
)
from fpa.models.settings import PainterSettings


class DeltaRule:
    """The delta rule with one learning rate a step, or one for each row of W (`vector_rates`)."""

    def __init__(self, settings: PainterSettings) -> None:
        self.settings = settings
        # One system per row of W costs more than the loop: docs/performance.md.
        self._write = delta_loop if settings.vector_rates else delta

    def rate_size(self, size: int) -> int:
        return size if self.settings.vector_rates else 1

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        start_uniform(layer, size, channels, self.settings)

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> Writing:
        keys = raw_keys.softmax(dim=-1) if self.settings.softmax_keys else raw_keys
        rates = raw_rates.sigmoid() if self.settings.sigmoid_rates else raw_rates
        if initial is None:
            rates = first_rate_one(rates)
        matrix, left = self._write(keys, values, rates, initial)
        return Writing(matrix, left, keys, rates)


def delta_loop(
    keys: Tensor, values: Tensor, rates: Tensor, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """W_T (B, C, D, D) and the updates' left factors (B, C, T, D), one step after another.

    keys, values: (B, C, T, D); rates: (B, C, T, 1), or (B, C, T, D) for one rate per row of W.
    initial: W_0, (B, C, D, D) or (C, D, D); zero when None.
    """
    W = start(keys, initial)
    left = []
    for t in range(keys.shape[2]):
        k, v, b = keys[:, :, t], values[:, :, t], rates[:, :, t]
        stored = torch.einsum("bcij,bcj->bci", W, k)
        u = b * (v - stored)
        W = W + torch.einsum("bci,bcj->bcij", u, k)
        left.append(u)
    return W, torch.stack(left, dim=2)


def delta(
    keys: Tensor, values: Tensor, rates: Tensor, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same without the loop; arguments as in `delta_loop`, the same result.

    u_t = b_t (v_t - W_0 k_t - sum_{s<t} u_s (k_s . k_t)) is a unit lower-triangular system in u:
    (I + diag(b) tril(K K^T, -1)) U = diag(b) (V - K W_0^T), solved at once for all steps. A
    scalar rate gives one T x T system for all D rows of W; a vector rate one for each row.
    """
    targets = values if initial is None else values - keys @ initial.transpose(-1, -2)
    overlaps = (keys @ keys.transpose(-1, -2)).tril(-1)  # (B, C, T, T): k_t . k_s for s < t
    targets = rates * targets
    if rates.shape[-1] == 1:
        left = solve_unit_lower(rates * overlaps, targets)
        return accumulate(left, keys, initial), left
    systems = rates.transpose(-1, -2)[..., None] * overlaps[:, :, None]  # (B, C, D, T, T)
    columns = targets.transpose(-1, -2)[..., None]  # (B, C, D, T, 1)
    solved = solve_unit_lower(systems, columns)
    left = solved.squeeze(-1).transpose(-1, -2)
    return accumulate(left, keys, initial), left
