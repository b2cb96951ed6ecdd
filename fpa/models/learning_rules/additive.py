"""The purely additive rule: W_t = W_{t-1} + v_t k_t^T. It has no learning rate."""

import torch
from torch import Tensor, nn

from fpa.models.learning_rules.base import Writing, accumulate, start
from fpa.models.settings import PainterSettings


class AdditiveRule:
    """The additive rule as one matrix product, V^T K."""

    def __init__(self, settings: PainterSettings) -> None:
        self.settings = settings

    def rate_size(self, size: int) -> int:
        return 0

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        """As torch starts it."""

    def write(
        self, raw_keys: Tensor, values: Tensor, raw_rates: Tensor, initial: Tensor | None
    ) -> Writing:
        keys = raw_keys.softmax(dim=-1) if self.settings.softmax_keys else raw_keys
        rates = torch.ones_like(values[..., :1])
        return Writing(accumulate(values, keys, initial), values, keys, rates)


def additive_loop(keys: Tensor, values: Tensor, initial: Tensor | None = None) -> Tensor:
    """W_T, (B, C, D, D), of the additive rule, one step after another: the oracle."""
    W = start(keys, initial)
    for t in range(keys.shape[2]):
        W = W + torch.einsum("bci,bcj->bcij", values[:, :, t], keys[:, :, t])
    return W
