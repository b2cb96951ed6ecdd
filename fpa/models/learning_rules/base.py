"""What a learning rule brings, and what several rules share."""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fpa.models.settings import PainterSettings


class Writing(NamedTuple):
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
    ) -> Writing:
        """Write a sequence into a matrix.

        raw_keys and values: (B, C, T, D); raw_rates: (B, C, T, rate_size). Activations of keys and
        rates are the rule's business. initial: W_0, (C, D, D) or (B, C, D, D); zero when None.
        """


def first_rate_one(rates: Tensor) -> Tensor:
    """Rates (B, C, T, R) with b_1 = 1: as published, a painter without W_0 has no first rate."""
    return torch.cat([torch.ones_like(rates[:, :, :1]), rates[:, :, 1:]], dim=2)


def start_uniform(layer: nn.Linear, size: int, channels: int, settings: PainterSettings) -> None:
    """The published start of the layer behind an LSTM: uniform within +-1 / sqrt(C (2D + 1)).

    As published, this counts one rate a channel even where there is one for each row.
    """
    if settings.starts_as_torch:
        return
    bound = settings.kvb_init_factor / math.sqrt(channels * (2 * size + 1))
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.uniform_(layer.bias, -bound, bound)


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
