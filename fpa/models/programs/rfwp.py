"""Recurrent fast weight programmers in the LSTM's place (Irie et al., NeurIPS 2021).

As in the paper's public code: every layer has fast weights that the delta rule programs, and its
queries, keys, values and rates depend on its own last output.
"""

import torch
from torch import Tensor, nn

from fpa.models.programs.transformer import FeedForward
from fpa.models.settings import PainterSettings


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
    """inputs (B, T, size) -> (B, T, width): a linear map, then layers of fast weights and FF."""

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
