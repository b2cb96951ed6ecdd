"""The paper's sequence network: an LSTM."""

import torch
from torch import Tensor, nn

from fpa.models.settings import PainterSettings


class LSTM(nn.Module):
    """inputs (B, T, size) -> hidden states (B, T, width)."""

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
