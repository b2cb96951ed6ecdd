"""Oja's rule as in the paper's public code: W_t = W_{t-1} + b_t v_t (k_t - W_{t-1}^T v_t)^T.

It is the mirror image of the delta rule: what the matrix already gives for a value is taken from the
key. With softmax keys, the published rule takes a second softmax of the difference; that is not
linear, and only the loop computes it. Without, it has an exact parallel form, like the delta rule.
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
from fpa.models.settings import PainterSettings


class OjaRule:
    """Oja's rule with one learning rate a step, or one for each row of W (`vector_rates`).

    As published, the first step uses its rate like every other.
    """

    def __init__(self, settings: PainterSettings) -> None:
        self.settings = settings

    def rate_size(self, size: int) -> int:
        return size if self.settings.vector_rates else 1

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        start_uniform(layer, size, channels, self.settings)

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> Writing:
        rates = raw_rates.sigmoid() if self.settings.sigmoid_rates else raw_rates
        if self.settings.softmax_keys:
            keys = raw_keys.softmax(dim=-1)
            matrix, right = oja_loop(keys, values, rates, initial, softmax=True)
        else:
            matrix, right = oja(raw_keys, values, rates, initial)
        return Writing(matrix, rates * values, right, rates)


def oja_loop(
    keys: Tensor,
    values: Tensor,
    rates: Tensor,
    initial: Tensor | None = None,
    softmax: bool = False,
) -> tuple[Tensor, Tensor]:
    """W_T (B, C, D, D) and the updates' right factors (B, C, T, D), one step after another.

    keys, values: (B, C, T, D); rates: (B, C, T, 1), or (B, C, T, D) for one rate per row of W.
    initial: W_0, (B, C, D, D) or (C, D, D); zero when None. softmax: of every right factor.
    """
    W = start(keys, initial)
    right = []
    for t in range(keys.shape[2]):
        k, v, b = keys[:, :, t], values[:, :, t], rates[:, :, t]
        k = k - torch.einsum("bcij,bci->bcj", W, v)
        if softmax:
            k = k.softmax(dim=-1)
        W = W + torch.einsum("bci,bcj->bcij", b * v, k)
        right.append(k)
    return W, torch.stack(right, dim=2)


def oja(
    keys: Tensor, values: Tensor, rates: Tensor, initial: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same without the loop and without a second softmax; arguments as in `oja_loop`.

    r_t = k_t - W_0^T v_t - sum_{s<t} (v_t . b_s v_s) r_s is a unit lower-triangular system in r:
    (I + tril(V (b V)^T, -1)) R = K - V W_0, one T x T system for all columns, vector rates or not.
    """
    targets = keys if initial is None else keys - values @ initial
    left = rates * values
    overlaps = (values @ left.transpose(-1, -2)).tril(-1)  # (B, C, T, T)
    right = solve_unit_lower(overlaps, targets)
    return accumulate(left, right, initial), right
