"""A latent becomes raw keys, values and rates, one of each at every step."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fpa.models.programs import INPUTS, SEQUENCES
from fpa.models.settings import PainterSettings


class Raw(NamedTuple):
    """What a program makes: its last layer's outputs, before any activation.

    T counts updates: `settings.updates` for each step of the sequence network.
    """

    keys: Tensor
    """(B, C, T, D)."""
    values: Tensor
    """(B, C, T, D)."""
    rates: Tensor
    """(B, C, T, R), R rates an update."""


class Program(nn.Module):
    """An input generator, a sequence network and the layer behind it.

    An input generator is built from (settings, state_size) and has `size`, the width of its
    outputs (B, T, size), and `to_state`, a layer z -> (B, state_size), or None. A sequence network
    is built from (settings, input_size) and has a static `state_size(settings)` (0 without a
    state), `width`, and `forward(x, state)` -> (B, T, width). Each part starts its own weights.
    """

    def __init__(
        self, settings: PainterSettings, image_size: int, channels: int, rate_size: int
    ) -> None:
        super().__init__()
        sequence = SEQUENCES[settings.sequence].load()
        state_size: int = sequence.state_size(settings)  # type: ignore[attr-defined]
        self.inputs = INPUTS[settings.inputs].load()(settings, state_size)
        self.position_codes: nn.Parameter | None = None
        if settings.position_codes:
            self.position_codes = nn.Parameter(torch.randn(settings.steps, self.inputs.size))
        self.sequence = sequence(settings, self.inputs.size)
        width = settings.wide_dim or self.sequence.width
        self.wide: nn.Module = nn.Identity()
        if settings.wide_dim:
            self.wide = nn.Sequential(nn.Linear(self.sequence.width, width), nn.ReLU())
        self.channels, self.updates = channels, settings.updates
        count = channels * settings.updates
        self.to_kvb = nn.Linear(width, count * (2 * image_size + rate_size))
        self.sizes = [count * part for part in (image_size, image_size, rate_size)]

    def forward(self, z: Tensor) -> Raw:
        """latent (B, L) -> raw keys, values and rates."""
        x = self.inputs(z)
        if self.position_codes is not None:
            x = x + self.position_codes
        state = None if self.inputs.to_state is None else self.inputs.to_state(z)
        kvb = self.to_kvb(self.wide(self.sequence(x, state)))  # (B, T, C * updates * (2D + R))
        # Each (B, T, C * updates * size) -> (B, C, T * updates, size)
        C, n = self.channels, self.updates
        parts = kvb.split(self.sizes, dim=2)
        shaped = (p.reshape(*p.shape[:2], C, n, p.shape[2] // (C * n)) for p in parts)
        return Raw(*(p.transpose(1, 2).flatten(2, 3) for p in shaped))
