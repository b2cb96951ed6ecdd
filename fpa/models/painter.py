"""The Fast Weight Painter: a program invents keys, values and rates, a learning rule paints with them.

Source: "Images as Weight Matrices" (Irie & Schmidhuber, ICLR 2023), section 3, and its public
code. A latent z becomes a sequence of raw keys, values and learning rates (fpa.models.programs),
and a learning rule (fpa.models.learning_rules) writes the image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fpa.core.torch_utils import at_least_float32, without_autocast
from fpa.models.learning_rules import LearningRule, RuleOutput, accumulate
from fpa.models.parts import RULES
from fpa.models.programs import Program
from fpa.models.settings import PainterSettings


@dataclass(frozen=True)
class Painting:
    """One forward pass with everything in it, for B images, T steps, C channels, D x D pixels."""

    image: Tensor
    """The finished image, (B, C, D, D), after the tanh if there is one."""
    values: Tensor
    """v_t, (B, C, T, D)."""
    rule_output: RuleOutput
    """The matrix W_T (the image before the tanh), both factors of every update, and the rates."""


class Painter(nn.Module):
    """latent (B, L) -> image (B, C, D, D), D = image_size."""

    def __init__(self, image_size: int, channels: int, settings: PainterSettings) -> None:
        super().__init__()
        self.settings, self.image_size, self.channels = settings, image_size, channels
        self.latent_dim = settings.latent_dim
        self.rule: LearningRule = RULES[settings.rule].build(settings)
        self.program = Program(settings, image_size, channels, self.rule.rate_size(image_size))
        self.rule.initialise(self.program.to_kvb, image_size, channels)
        self.initial: nn.Parameter | None = None
        if settings.learned_initial:
            self.initial = nn.Parameter(torch.randn(channels, image_size, image_size))

    def forward(self, z: Tensor, images: int = 1, scaled: bool = False) -> Tensor:
        """The finished images (B, C, D, D), behind images - 1 partial ones of each.

        As in the paper's public code, partial image j of J is W_t with t = floor(j T / J), counted
        from 0, times J / j where `scaled`, and takes the tanh of finished ones. Stacked, all of
        j = 1 first: (J B, C, D, D).
        """
        painting = self.paint(z)
        if images == 1:
            return painting.image
        s, (_, left, right, _) = self.settings, painting.rule_output
        stacked = []
        for j in range(1, images):
            written = (j * s.steps // images + 1) * s.updates
            part = accumulate(left[:, :, :written], right[:, :, :written], self.initial)
            part = part * (images / j) if scaled else part
            stacked.append(part.tanh() if s.tanh_image else part)
        return torch.cat([*stacked, painting.image])

    def paint(self, z: Tensor) -> Painting:
        """The forward pass with the factors of its rank-1 updates."""
        raw = self.program(z)
        # What was made in bfloat16 is painted with in float32: a sum of so many updates.
        with without_autocast(z):
            keys, values, rates = map(at_least_float32, raw)
            if self.settings.tanh_values:
                values = values.tanh()
            output = self.rule.write(keys, values, rates, self.initial)
            image = output.matrix.tanh() if self.settings.tanh_image else output.matrix
        return Painting(image, values, output)

    def trace(self, z: Tensor) -> dict[str, Tensor]:
        """A painting's trace by name, as saved for figures: W_T = W_0 + sum_t left_t right_t^T.

        painted (B, C, D, D); left, right and values (B, C, T, D); rates (B, C, T, 1 or D); tanh,
        whether the image ends with one; initial, W_0, (C, D, D), where it is learned.
        """
        painting = self.paint(z)
        parts = {
            "painted": painting.image,
            "left": painting.rule_output.left,
            "right": painting.rule_output.right,
            "values": painting.values,
            "rates": painting.rule_output.rates,
            "tanh": torch.tensor(self.settings.tanh_image),
        }
        return parts if self.initial is None else {**parts, "initial": self.initial}
