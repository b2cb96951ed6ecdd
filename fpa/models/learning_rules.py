"""Synaptic learning rules: how a sequence of keys and values writes itself into a weight matrix.

A rule is one class (see `LearningRule`) and one registration. Each stands here twice: as the plain loop,
one step after another, which is the oracle, and in its exact parallel form, which training uses. Planning
reads the registrations, so that torch is imported when a rule first computes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fpa.core.lazy import F, torch
from fpa.models.parts import RULES, Rule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fpa.models.settings import PainterSettings


class RuleOutput(NamedTuple):
    """What a rule makes of keys, values and rates: W_T = W_0 + sum_t left_t right_t^T.

    T counts updates: `settings.updates` for each step of the sequence network.
    """

    matrix: Tensor
    """W_T, (B, C, D, D): rows are indexed by values, columns by keys."""
    left: Tensor
    """Left factor of each update as it is in W_T, (B, C, T, D)."""
    right: Tensor
    """Right factor of each update, (B, C, T, D)."""
    rates: Tensor
    """Learning rates as used, (B, C, T, 1), or (B, C, T, D) for one a row; 1 without a rate."""


class LearningRule(Protocol):
    """A learning rule, built from `fpa.models.settings.PainterSettings`."""

    def rate_size(self, size: int) -> int:
        """Numbers beside key and value that one update needs, for a matrix of this size D.

        0 without a rate, 1 or D with rates, one more with a decay.
        """

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        """Set the start of the layer that makes raw keys, values and rates, where it is special.

        size, channels: of the images.
        """

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> RuleOutput:
        """Write a sequence into a matrix.

        raw_keys and values: (B, C, T, D); raw_rates: (B, C, T, rate_size). Activations of keys and
        rates are the rule's business. initial: W_0, (C, D, D) or (B, C, D, D); zero when None.
        """


class ActivatedRule:
    """What the rules below share: rates and start as published, activations as the settings have them."""

    def __init__(self, settings: PainterSettings) -> None:
        self.settings = settings

    def rate_size(self, size: int) -> int:
        """One learning rate a step, or one for each row of W (`vector_rates`)."""
        return size if self.settings.vector_rates else 1

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        """The published start of the layer behind an LSTM: uniform within +-1 / sqrt(C (2D + 1)).

        As published, this counts one rate a channel even where there is one for each row.
        """
        if self.settings.starts_as_torch:
            return
        bound = self.settings.kvb_init_factor / math.sqrt(channels * (2 * size + 1))
        torch.nn.init.uniform_(layer.weight, -bound, bound)
        torch.nn.init.uniform_(layer.bias, -bound, bound)

    def keys(self, raw: Tensor) -> Tensor:
        return raw.softmax(dim=-1) if self.settings.softmax_keys else raw

    def rates(self, raw: Tensor) -> Tensor:
        return raw.sigmoid() if self.settings.sigmoid_rates else raw


def first_rate_one(rates: Tensor, count: int = 1) -> Tensor:
    """Rates (B, C, T, R) with b_1 = 1: as published, a painter without W_0 has no first rate.

    count: updates of the first step.
    """
    return torch.cat([torch.ones_like(rates[:, :, :count]), rates[:, :, count:]], dim=2)


def accumulate(left: Tensor, right: Tensor, initial: Tensor | None) -> Tensor:
    """W_T = W_0 + sum_t left_t right_t^T, (B, C, D, D)."""
    matrix = left.transpose(-1, -2) @ right
    return matrix if initial is None else matrix + initial


def solve_unit_lower(system: Tensor, targets: Tensor) -> Tensor:
    """X (..., T, D) with (I + L) X = targets, L the entries of system (..., T, T) below the diagonal."""
    if not torch.onnx.is_in_onnx_export():
        return torch.linalg.solve_triangular(system, targets, upper=False, unitriangular=True)
    # ONNX has no such operator: row by row, each from those above it.
    rows = [targets[..., 0, :]]
    for t in range(1, targets.shape[-2]):
        known = system[..., t, None, :t] @ torch.stack(rows, dim=-2)
        rows.append(targets[..., t, :] - known.squeeze(-2))
    return torch.stack(rows, dim=-2)


def start(keys: Tensor, initial: Tensor | None) -> Tensor:
    """W_0, (B, C, D, D), for keys (B, C, T, D): `initial`, or zero."""
    B, C, _, D = keys.shape
    return keys.new_zeros(B, C, D, D) if initial is None else initial.expand(B, C, D, D)


class DeltaRule(ActivatedRule):
    """The delta rule (paper, eq. 2-4): W_t = W_{t-1} + b_t (v_t - W_{t-1} k_t) k_t^T.

    One learning rate a step, or one for each row of W (`vector_rates`). The left factors are
    u_t = b_t (v_t - W_{t-1} k_t), the right ones the keys.
    """

    def __init__(self, settings: PainterSettings) -> None:
        super().__init__(settings)
        # One system per row of W costs more than the loop: docs/performance.md.
        self._write = delta_loop if settings.vector_rates else delta
        self.rank = 1

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> RuleOutput:
        keys, rates = self.keys(raw_keys), self.rates(raw_rates)
        if initial is None:
            rates = first_rate_one(rates, self.rank)
        matrix, left = self._write(keys, values, rates, initial, self.rank)
        return RuleOutput(matrix, left, keys, rates)


def delta_loop(
    keys: Tensor, values: Tensor, rates: Tensor, initial: Tensor | None = None, rank: int = 1
) -> tuple[Tensor, Tensor]:
    """W_T (B, C, D, D) and the updates' left factors (B, C, T, D), one step after another.

    keys, values: (B, C, T, D); rates: (B, C, T, 1), or (B, C, T, D) for one rate per row of W.
    initial: W_0, (B, C, D, D) or (C, D, D); zero when None. rank: of the T updates, so many read the
    same matrix, the one before the first of them.
    """
    W = read = start(keys, initial)
    left = []
    for t in range(keys.shape[2]):
        read = W if t % rank == 0 else read
        k, v, b = keys[:, :, t], values[:, :, t], rates[:, :, t]
        u = b * (v - torch.einsum("bcij,bcj->bci", read, k))
        W = W + torch.einsum("bci,bcj->bcij", u, k)
        left.append(u)
    return W, torch.stack(left, dim=2)


def delta(
    keys: Tensor, values: Tensor, rates: Tensor, initial: Tensor | None = None, rank: int = 1
) -> tuple[Tensor, Tensor]:
    """The same without the loop; arguments as in `delta_loop`, the same result.

    u_t = b_t (v_t - W_0 k_t - sum_{s<t} u_s (k_s . k_t)) is a unit lower-triangular system in u:
    (I + diag(b) tril(K K^T, -1)) U = diag(b) (V - K W_0^T), solved at once for all steps. A
    scalar rate gives one T x T system for all D rows of W; a vector rate one for each row. With a
    rank, there are no overlaps inside a step.
    """
    targets = values if initial is None else values - keys @ initial.transpose(-1, -2)
    overlaps = keys @ keys.transpose(-1, -2)  # (B, C, T, T): k_t . k_s for s < t
    if rank == 1:
        overlaps = overlaps.tril(-1)
    else:
        step = torch.arange(keys.shape[2], device=keys.device) // rank
        overlaps = overlaps * (step[:, None] > step)
    targets = rates * targets
    if rates.shape[-1] == 1:
        left = solve_unit_lower(rates * overlaps, targets)
        return accumulate(left, keys, initial), left
    systems = rates.transpose(-1, -2)[..., None] * overlaps[:, :, None]  # (B, C, D, T, T)
    columns = targets.transpose(-1, -2)[..., None]  # (B, C, D, T, 1)
    solved = solve_unit_lower(systems, columns)
    left = solved.squeeze(-1).transpose(-1, -2)
    return accumulate(left, keys, initial), left


RULES.register("delta", Rule(DeltaRule, vector_rates=True))


class AdditiveRule(ActivatedRule):
    """The purely additive rule: W_t = W_{t-1} + v_t k_t^T, as one matrix product, V^T K.

    It has no learning rate, and as published its layer starts as torch starts it.
    """

    def rate_size(self, size: int) -> int:
        return 0

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> RuleOutput:
        keys = self.keys(raw_keys)
        rates = torch.ones_like(values[..., :1])
        return RuleOutput(accumulate(values, keys, initial), values, keys, rates)


def additive_loop(keys: Tensor, values: Tensor, initial: Tensor | None = None) -> Tensor:
    """W_T, (B, C, D, D), of the additive rule, one step after another: the oracle."""
    W = start(keys, initial)
    for t in range(keys.shape[2]):
        W = W + torch.einsum("bci,bcj->bcij", values[:, :, t], keys[:, :, t])
    return W


RULES.register("additive", Rule(AdditiveRule, has_rates=False))


class OjaRule(ActivatedRule):
    """Oja's rule as in the paper's public code: W_t = W_{t-1} + b_t v_t (k_t - W_{t-1}^T v_t)^T.

    It is the mirror image of the delta rule: what the matrix already gives for a value is taken from the
    key. With softmax keys, the published rule takes a second softmax of the difference; that is not
    linear, and only the loop computes it. Without, it has an exact parallel form, like the delta rule.
    As published, the first step uses its rate like every other.
    """

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> RuleOutput:
        rates = self.rates(raw_rates)
        if self.settings.softmax_keys:
            keys = raw_keys.softmax(dim=-1)
            matrix, right = oja_loop(keys, values, rates, initial, softmax=True)
        else:
            matrix, right = oja(raw_keys, values, rates, initial)
        return RuleOutput(matrix, rates * values, right, rates)


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


RULES.register("oja", Rule(OjaRule, vector_rates=True))


OFFSET = 4.0
"""Added to the raw decays: an untrained painter's are near sigmoid(4) = 0.98. This project's choice."""


class GatedDeltaRule(ActivatedRule):
    """The gated delta rule (Yang, Kautz & Hatamizadeh, "Gated Delta Networks", ICLR 2025).

    W_t = a_t W_{t-1} + b_t (v_t - a_t W_{t-1} k_t) k_t^T: before each update, what was painted so far
    fades by a decay a_t in (0, 1). Here one decay a step is shared by all channels, so colours do not
    shift, and it fades towards a learned W_0 where there is one: W_t - W_0 in place of W_t. A channel's
    two raw rates are those of rate and decay.

    Updates are returned as they are left in W_T: u_t k_t^T with u_t faded by all later decays. So
    W_T = W_0 + sum_t left_t right_t^T holds, and without W_0 a sum up to step t is W_t times one number:
    its picture, which is scaled to the finished image's norm, is that of W_t.
    """

    def rate_size(self, size: int) -> int:
        return 2

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> RuleOutput:
        keys = self.keys(raw_keys)
        raw_rates, raw_decays = raw_rates.split(1, dim=-1)
        rates = self.rates(raw_rates)
        if initial is None:
            rates = first_rate_one(rates)
        # (B, 1, T, 1): the logarithm, because products of many decays would underflow.
        log_decays = F.logsigmoid(raw_decays.mean(dim=1, keepdim=True) + OFFSET)
        matrix, left = gated_delta(keys, values, rates, log_decays, initial)
        return RuleOutput(matrix, left, keys, rates)


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


RULES.register("gated_delta", Rule(GatedDeltaRule, decays=True))


class DeltaProductRule(DeltaRule):
    """n = `settings.updates` updates a step, each of the matrix that the one before has left.

    The sequence of keys, values and rates has T n entries, those of one step side by side. DeltaProduct
    (Siems et al., 2025, arXiv:2502.10297): a step's transition is a product
    of n (generalised) Householder matrices I - b k k^T. As all updates of a step are the delta
    rule's, so is the whole sequence of T n updates, and its parallel form.
    """


class RankRDeltaRule(DeltaRule):
    """One update of rank n a step: W_t = W_{t-1} + sum_i b_ti (v_ti - W_{t-1} k_ti) k_ti^T.

    All n parts read the same matrix. In terms of Sun et al. ("Learning to (Learn at Test Time)",
    2024, arXiv:2407.04620, section 2.4) this is a step of mini-batch gradient descent on
    sum_i ||W k_i - v_i||^2 / 2, the delta rule one of online gradient descent.
    """

    def __init__(self, settings: PainterSettings) -> None:
        super().__init__(settings)
        # As in the delta rule, the first step, here all of it, has nothing to be weighed with.
        self.rank = settings.updates


RULES.register("delta_product", Rule(DeltaProductRule, vector_rates=True, several_updates=True))
RULES.register("rank_r_delta", Rule(RankRDeltaRule, several_updates=True))
