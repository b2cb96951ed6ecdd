"""The gated delta rule (Yang, Kautz & Hatamizadeh, "Gated Delta Networks", ICLR 2025).

W_t = a_t W_{t-1} + b_t (v_t - a_t W_{t-1} k_t) k_t^T: before each update, what was painted so far
fades by a decay a_t in (0, 1). Here one decay a step is shared by all channels, so colours do not
shift, and it fades towards a learned W_0 where there is one: W_t - W_0 in place of W_t.

Updates are returned as they are left in W_T: u_t k_t^T with u_t faded by all later decays. So
W_T = W_0 + sum_t left_t right_t^T holds, and without W_0 a sum up to step t is W_t times one number:
its picture, which is scaled to the finished image's norm, is that of W_t.
"""

import torch
import torch.nn.functional as F
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

OFFSET = 4.0
"""Added to the raw decays: an untrained painter's are near sigmoid(4) = 0.98. This project's choice."""


class GatedDeltaRule:
    """The delta rule with a decay; a channel's two raw rates are those of rate and decay."""

    def __init__(self, settings: PainterSettings) -> None:
        self.settings = settings

    def rate_size(self, size: int) -> int:
        return 2

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        start_uniform(layer, size, channels, self.settings)

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> Writing:
        keys = raw_keys.softmax(dim=-1) if self.settings.softmax_keys else raw_keys
        raw_rates, raw_decays = raw_rates.split(1, dim=-1)
        rates = raw_rates.sigmoid() if self.settings.sigmoid_rates else raw_rates
        if initial is None:
            rates = first_rate_one(rates)
        # (B, 1, T, 1): the logarithm, because products of many decays would underflow.
        log_decays = F.logsigmoid(raw_decays.mean(dim=1, keepdim=True) + OFFSET)
        matrix, left = gated_delta(keys, values, rates, log_decays, initial)
        return Writing(matrix, left, keys, rates)


def gated_delta_loop(
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    log_decays: Tensor,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """W_T (B, C, D, D) and the updates' left factors as they are left in it, (B, C, T, D).

    keys, values: (B, C, T, D); rates, log_decays: (B, C, T, 1), or with one channel for all.
    initial: W_0, (B, C, D, D) or (C, D, D); zero when None.
    """
    W_0 = start(keys, initial)
    painted = torch.zeros_like(W_0)  # W_t - W_0
    left: list[Tensor] = []
    for t in range(keys.shape[2]):
        k, v, b, a = keys[:, :, t], values[:, :, t], rates[:, :, t], log_decays[:, :, t].exp()
        painted, left = a[..., None] * painted, [a * u for u in left]
        u = b * (v - torch.einsum("bcij,bcj->bci", W_0 + painted, k))
        painted = painted + torch.einsum("bci,bcj->bcij", u, k)
        left.append(u)
    return W_0 + painted, torch.stack(left, dim=2)


def gated_delta(
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    log_decays: Tensor,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The same without the loop; arguments as in `gated_delta_loop`, the same result.

    With c_ts = log a_{s+1} + ... + log a_t, what is left of update s at step t is exp(c_ts) of it:
    u_t = b_t (v_t - W_0 k_t - sum_{s<t} exp(c_ts) u_s (k_s . k_t)), the delta rule's unit
    lower-triangular system with each entry faded.
    """
    targets = values if initial is None else values - keys @ initial.transpose(-1, -2)
    T = keys.shape[2]
    # Each c_ts is a sum of its own: as differences of sums, small gradients would drown in large ones.
    faded = log_decays.expand(-1, -1, T, T).tril(-1).cumsum(dim=2)  # c_ts, (B, 1 or C, T, T)
    overlaps = faded.exp() * (keys @ keys.transpose(-1, -2)).tril(-1)
    updates = solve_unit_lower(rates * overlaps, rates * targets)
    left = faded[:, :, -1, :, None].exp() * updates
    return accumulate(left, keys, initial), left
