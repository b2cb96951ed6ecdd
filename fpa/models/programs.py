"""Programs: a latent becomes raw keys, values and rates, one of each at every step.

A program has two exchangeable parts, each one class and one registration in `fpa/models/__init__.py`: an
input generator, which turns the latent into one input a step, and a sequence network.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fpa.models.parts import INPUTS, SEQUENCES
from fpa.models.settings import PainterSettings


class ProgramOutput(NamedTuple):
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

    def forward(self, z: Tensor) -> ProgramOutput:
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
        return ProgramOutput(*(p.transpose(1, 2).flatten(2, 3) for p in shaped))


class InputsV1(nn.Module):
    """v1: the latent itself at every step; the initial state is linear(z)."""

    def __init__(self, settings: PainterSettings, state_size: int) -> None:
        super().__init__()
        self.steps, self.size = settings.steps, settings.latent_dim
        self.to_state = None
        if state_size:
            self.to_state = nn.Linear(settings.latent_dim, state_size)
            if not settings.starts_as_torch:
                nn.init.kaiming_normal_(self.to_state.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(B, L) -> (B, T, L)."""
        return z[:, None].expand(-1, self.steps, -1)


class InputsV2(nn.Module):
    """v2: z -> T small latents, each through the same linear map to the sequence network's input."""

    def __init__(self, settings: PainterSettings, state_size: int) -> None:
        super().__init__()
        self.steps, self.size = settings.steps, settings.mini_input_size
        self.tanh = settings.mini_tanh
        self.to_state = None
        if settings.latent_to_state and state_size:
            self.to_state = nn.Linear(settings.latent_dim, state_size)
        self.to_mini = nn.Linear(settings.latent_dim, settings.steps * settings.mini_latent_dim)
        self.to_input = nn.Linear(settings.mini_latent_dim, settings.mini_input_size)
        nn.init.kaiming_normal_(self.to_input.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(B, L) -> (B, T, mini_input_size)."""
        mini = self.to_mini(z).unflatten(1, (self.steps, -1))
        return self.to_input(mini.tanh() if self.tanh else mini)


class InputsSplit(nn.Module):
    """v1.5 ("split" in the public code): z -> T pieces of L / T numbers, each through the same linear map.

    The initial state is zero.
    """

    def __init__(self, settings: PainterSettings, state_size: int) -> None:
        super().__init__()
        self.steps, self.size = settings.steps, settings.mini_input_size
        self.to_state = None
        self.to_input = nn.Linear(settings.latent_dim // settings.steps, self.size)
        if not settings.starts_as_torch:
            nn.init.kaiming_normal_(self.to_input.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(B, L) -> (B, T, mini_input_size)."""
        return self.to_input(z.unflatten(1, (self.steps, -1)))


class LSTM(nn.Module):
    """The paper's sequence network: inputs (B, T, size) -> hidden states (B, T, width)."""

    def __init__(self, settings: PainterSettings, input_size: int) -> None:
        super().__init__()
        self.layers, self.width = settings.layers, settings.hidden_size
        self.lstm = nn.LSTM(input_size, self.width, self.layers, batch_first=True)
        # torch's own start is the published one: uniform within +-1 / sqrt(hidden size).
        if settings.lstm_init_factor != 1:
            with torch.no_grad():
                for parameter in self.lstm.parameters():
                    parameter.mul_(settings.lstm_init_factor)

    @staticmethod
    def state_size(settings: PainterSettings) -> int:
        """Entries of h_0 and c_0 of all layers."""
        return 2 * settings.layers * settings.hidden_size

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        """state: (B, state_size), or None for zero."""
        start = None
        if state is not None:
            # (B, 2 * layers * hidden) -> h and c, each (layers, B, hidden)
            both = state.unflatten(1, (2, self.layers, self.width)).unbind(1)
            start = tuple(part.transpose(0, 1).contiguous() for part in both)
        hidden, _ = self.lstm(x, start)
        return hidden


class FeedForward(nn.Module):
    """x + linear(ReLU(linear(LayerNorm(x)))), (B, T, width)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(self.norm(x))


class Attention(nn.Module):
    """x + attention(LayerNorm(x)), (B, T, width): every step attends to all steps.

    As published, scores are divided by sqrt(width) rather than by the root of a head's width, and
    no step is masked.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, width**-0.5
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # (B, T, heads * 3 E) -> each (B, heads, T, E)
        parts = self.projection(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        q, k, v = parts.chunk(3, dim=-1)
        read = (q @ k.transpose(-1, -2) * self.scale).softmax(dim=-1) @ v
        return x + self.out(read.transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """The Transformer of the paper's public code: inputs (B, T, size) -> (B, T, width).

    Pre-norm layers without a mask; inputs of another size go through a linear map first.
    """

    def __init__(self, settings: PainterSettings, input_size: int) -> None:
        super().__init__()
        self.width = settings.hidden_size
        self.to_width: nn.Module = nn.Identity()
        if input_size != self.width:
            self.to_width = nn.Linear(input_size, self.width)
        layers: list[nn.Module] = []
        for _ in range(settings.layers):
            layers.append(Attention(self.width, settings.heads))
            layers.append(FeedForward(self.width, settings.feedforward_size))
        self.layers = nn.Sequential(*layers)

    @staticmethod
    def state_size(settings: PainterSettings) -> int:
        return 0

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        return self.layers(self.to_width(x))


class RecurrentFastWeights(nn.Module):
    """x + out(h), (B, T, width), with h of each head (size E) by, at every step,

    s = tanh(h_{t-1}); q = softmax(q + R_q^T s); k = softmax(k + R_k^T s); v = v + R_v^T s;
    b = sigmoid(b + r_b . s); F = F + k (b (v - F^T k))^T; h_t = F^T q; F_0 = 0.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, heads * (3 * self.size + 1), bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.R_q, self.R_k, self.R_v = (self._recurrent(self.size) for _ in range(3))
        self.r_b = self._recurrent(1)

    def _recurrent(self, outputs: int) -> nn.Parameter:
        """(heads, E, outputs), normal with deviation 1 / sqrt(E)."""
        return nn.Parameter(torch.randn(self.heads, self.size, outputs) / self.size**0.5)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """x: (B, T, width); h: the initial output (B, width)."""
        from_input = self.projection(self.norm(x)).unflatten(
            2, (self.heads, -1)
        )  # (B, T, heads, 3E+1)
        h = h.unflatten(1, (self.heads, self.size))
        recurrent = torch.cat([self.R_q, self.R_k, self.R_v, self.r_b], dim=2)
        F = h.new_zeros(*h.shape, self.size)  # (B, heads, E, E)
        outputs = []
        for t in range(x.shape[1]):
            parts = from_input[:, t] + torch.einsum("bhe,hef->bhf", h.tanh(), recurrent)
            q, k, v, b = parts.split([self.size, self.size, self.size, 1], dim=-1)
            q, k, b = q.softmax(dim=-1), k.softmax(dim=-1), b.sigmoid()
            stored = torch.einsum("bhef,bhe->bhf", F, k)
            F = F + torch.einsum("bhe,bhf->bhef", k, b * (v - stored))
            h = torch.einsum("bhef,bhe->bhf", F, q)
            outputs.append(h)
        return x + self.out(torch.stack(outputs, dim=1).flatten(2))


class RFWP(nn.Module):
    """Recurrent fast weight programmers (Irie et al., NeurIPS 2021): inputs (B, T, size) -> (B, T, width).

    A linear map, then layers of fast weights and FF. As in the paper's public code: every layer has fast
    weights that the delta rule programs, and its queries, keys, values and rates depend on its own last
    output.
    """

    def __init__(self, settings: PainterSettings, input_size: int) -> None:
        super().__init__()
        self.width = settings.hidden_size
        self.to_width = nn.Linear(input_size, self.width)
        self.layers = nn.ModuleList(
            RecurrentFastWeights(self.width, settings.heads) for _ in range(settings.layers)
        )
        self.feedforward = nn.ModuleList(
            FeedForward(self.width, settings.feedforward_size) for _ in range(settings.layers)
        )

    @staticmethod
    def state_size(settings: PainterSettings) -> int:
        """Entries of h_0 of all layers."""
        return settings.layers * settings.hidden_size

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        """state: (B, state_size), or None for zero."""
        x = self.to_width(x)
        if state is None:
            state = x.new_zeros(len(x), len(self.layers) * self.width)
        starts = state.split(self.width, dim=1)
        for layer, feedforward, h in zip(self.layers, self.feedforward, starts, strict=True):
            x = feedforward(layer(x, h))
        return x
