"""The Fast Weight Painter: a recurrent net that invents keys, values and rates and paints with them.

Source: "Images as Weight Matrices" (Irie & Schmidhuber, ICLR 2023), section 3, and its public
code. A latent z becomes a sequence of inputs (v1 or v2 input generator), an LSTM turns it into
keys k_t, values v_t and learning rates b_t, and a learning rule (fpa/models/learning_rules.py) writes the image.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from fpa.models import learning_rules as rules

RULES: dict[str, rules.Rule] = {"delta": rules.delta, "additive": rules.additive}


class PainterSettings(BaseModel):
    """Hyperparameters of a painter; the defaults are the paper's main model at 64 x 64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[PositiveInt, Field(description="T, the number of rank-1 updates")] = 64
    latent_dim: Annotated[PositiveInt, Field(description="L, the size of the latent z")] = 512
    hidden_size: Annotated[PositiveInt, Field(description="units of each LSTM layer")] = 1024
    layers: Annotated[PositiveInt, Field(description="LSTM layers")] = 1
    rule: Annotated[Literal["delta", "additive"], Field(description="the learning rule")] = "delta"
    inputs: Annotated[
        Literal["v1", "v2"],
        Field(
            description="input generator: v1 the same latent at every step, v2 one latent a step"
        ),
    ] = "v2"
    mini_latent_dim: Annotated[PositiveInt, Field(description="v2: size of each step's latent")] = 8
    mini_input_size: Annotated[PositiveInt, Field(description="v2: size of each LSTM input")] = 128
    mini_tanh: Annotated[bool, Field(description="v2: tanh on the step latents")] = True
    latent_to_state: Annotated[
        bool, Field(description="v2: (h_0, c_0) = linear(z), else zero; v1 always has it")
    ] = True
    position_codes: Annotated[
        bool, Field(description="add a learned code to each step's input")
    ] = False
    wide_dim: Annotated[
        int, Field(ge=0, description="width of a linear + ReLU before the key/value layer; 0: none")
    ] = 0
    softmax_keys: Annotated[bool, Field(description="softmax on the keys")] = True
    tanh_values: Annotated[bool, Field(description="tanh on the values")] = False
    vector_rates: Annotated[
        bool, Field(description="one rate per row of W instead of one a step")
    ] = False
    sigmoid_rates: Annotated[bool, Field(description="sigmoid on the rates")] = True
    learned_initial: Annotated[
        bool, Field(description="W_0 is learned; then the first step uses its rate as well")
    ] = False
    tanh_image: Annotated[bool, Field(description="tanh on the finished image")] = True

    @model_validator(mode="after")
    def _rates_need_the_delta_rule(self) -> "PainterSettings":
        if self.vector_rates and self.rule != "delta":
            raise ValueError(f"vector_rates needs rule: delta (the {self.rule} rule has no rates)")
        return self


class InputsV1(nn.Module):
    """The same latent at every step; (h_0, c_0) = linear(z)."""

    def __init__(self, settings: PainterSettings) -> None:
        super().__init__()
        self.steps, self.size = settings.steps, settings.latent_dim
        self.to_state = nn.Linear(settings.latent_dim, 2 * settings.layers * settings.hidden_size)
        nn.init.kaiming_normal_(self.to_state.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(B, L) -> (B, T, L)."""
        return z[:, None].expand(-1, self.steps, -1)


class InputsV2(nn.Module):
    """z -> T small latents, each through the same linear map to the LSTM's input."""

    def __init__(self, settings: PainterSettings) -> None:
        super().__init__()
        self.steps, self.size = settings.steps, settings.mini_input_size
        self.tanh = settings.mini_tanh
        if settings.latent_to_state:
            self.to_state = nn.Linear(
                settings.latent_dim, 2 * settings.layers * settings.hidden_size
            )
        else:
            self.to_state = None
        self.to_mini = nn.Linear(settings.latent_dim, settings.steps * settings.mini_latent_dim)
        self.to_input = nn.Linear(settings.mini_latent_dim, settings.mini_input_size)
        nn.init.kaiming_normal_(self.to_input.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(B, L) -> (B, T, mini_input_size)."""
        mini = self.to_mini(z).unflatten(1, (self.steps, -1))
        return self.to_input(mini.tanh() if self.tanh else mini)


@dataclass(frozen=True)
class Painting:
    """One forward pass with everything in it, for B images, T steps, C channels, D x D pixels."""

    image: Tensor
    """The finished image, (B, C, D, D), after the tanh if there is one."""
    matrix: Tensor
    """W_T, (B, C, D, D): the image before the tanh."""
    keys: Tensor
    """k_t, (B, C, T, D)."""
    values: Tensor
    """v_t, (B, C, T, D)."""
    rates: Tensor
    """b_t as used, (B, C, T, 1) or (B, C, T, D); 1 at a first step without rate."""
    writes: Tensor
    """u_t, (B, C, T, D): W_t = W_{t-1} + u_t k_t^T."""
    updates: Tensor
    """u_t k_t^T, (B, T, C, D, D)."""
    partial: Tensor
    """W_t, (B, T, C, D, D)."""


class Painter(nn.Module):
    """latent (B, L) -> image (B, C, D, D), D = image_size."""

    def __init__(self, image_size: int, channels: int, settings: PainterSettings) -> None:
        super().__init__()
        self.settings, self.image_size, self.channels = settings, image_size, channels
        self.latent_dim = settings.latent_dim
        # One system per row of W costs more than the loop: benchmarks/rules.py.
        self.rule = rules.delta_loop if settings.vector_rates else RULES[settings.rule]
        D, C = image_size, channels

        self.inputs = (InputsV1 if settings.inputs == "v1" else InputsV2)(settings)
        if settings.position_codes:
            # The public code does not fix their start; small normal values break the symmetry.
            self.position_codes = nn.Parameter(0.02 * torch.randn(settings.steps, self.inputs.size))
        self.lstm = nn.LSTM(
            self.inputs.size, settings.hidden_size, settings.layers, batch_first=True
        )
        width = settings.wide_dim or settings.hidden_size
        if settings.wide_dim:
            self.wide = nn.Sequential(nn.Linear(settings.hidden_size, width), nn.ReLU())
        else:
            self.wide = nn.Identity()
        self.rate_size = {"delta": D if settings.vector_rates else 1, "additive": 0}[settings.rule]
        self.to_kvb = nn.Linear(width, C * (2 * D + self.rate_size))
        if settings.rule == "delta":
            bound = 1 / math.sqrt(self.to_kvb.out_features)
            nn.init.uniform_(self.to_kvb.weight, -bound, bound)
            nn.init.uniform_(self.to_kvb.bias, -bound, bound)
        if settings.learned_initial:
            self.initial = nn.Parameter(torch.zeros(C, D, D))
        else:
            self.initial = None

    def forward(self, z: Tensor) -> Tensor:
        matrix = self._write(*self.keys_values_rates(z)).matrix
        return matrix.tanh() if self.settings.tanh_image else matrix

    def paint(self, z: Tensor) -> Painting:
        """The forward pass with its rank-1 updates and partial images kept."""
        keys, values, rates = self.keys_values_rates(z)
        matrix, writes = self._write(keys, values, rates)
        updates, partial = rules.step_images(writes, keys, self.initial)
        if rates is None:
            rates = torch.ones_like(values[..., :1])
        elif self.initial is None:
            rates = torch.cat([torch.ones_like(rates[:, :, :1]), rates[:, :, 1:]], dim=2)
        image = matrix.tanh() if self.settings.tanh_image else matrix
        return Painting(image, matrix, keys, values, rates, writes, updates, partial)

    def keys_values_rates(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """latent (B, L) -> keys and values (B, C, T, D), rates (B, C, T, 1 or D), None if additive."""
        settings = self.settings
        x = self.inputs(z)
        if settings.position_codes:
            x = x + self.position_codes
        state = None
        if self.inputs.to_state is not None:
            # (B, 2 * layers * hidden) -> h and c, each (layers, B, hidden)
            both = self.inputs.to_state(z).unflatten(1, (2, settings.layers, settings.hidden_size))
            state = tuple(s.transpose(0, 1).contiguous() for s in both.unbind(1))
        hidden, _ = self.lstm(x, state)
        kvb = self.to_kvb(self.wide(hidden))  # (B, T, C * (2D + rate_size))
        C, D = self.channels, self.image_size
        keys, values, rates = (
            part.unflatten(2, (C, -1)).transpose(1, 2)
            for part in kvb.split([C * D, C * D, C * self.rate_size], dim=2)
        )
        if settings.softmax_keys:
            keys = keys.softmax(dim=-1)
        if settings.tanh_values:
            values = values.tanh()
        if settings.rule == "additive":
            return keys, values, None
        return keys, values, rates.sigmoid() if settings.sigmoid_rates else rates

    def _write(self, keys: Tensor, values: Tensor, rates: Tensor | None) -> rules.Writing:
        if rates is None:
            return self.rule(keys, values, initial=self.initial)
        return self.rule(
            keys, values, rates, initial=self.initial, first_rate=self.initial is not None
        )


def step_pictures(painting: Painting, tanh: bool) -> tuple[Tensor, Tensor]:
    """Updates and partial images scaled as in the paper's figures, both (B, T, C, D, D).

    Each is brought to the Frobenius norm of the finished image (over all its channels, before the
    tanh) and goes through the tanh where the image does.
    """
    norm = painting.matrix.flatten(1).norm(dim=1)[:, None, None, None, None]

    def scaled(x: Tensor) -> Tensor:
        own = x.flatten(2).norm(dim=2)[:, :, None, None, None].clamp_min(1e-12)
        x = x / own * norm
        return x.tanh() if tanh else x

    return scaled(painting.updates), scaled(painting.partial)
