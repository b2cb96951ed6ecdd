"""The Transformer of the paper's public code in the LSTM's place."""

from torch import Tensor, nn

from fpa.models.settings import PainterSettings


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
    """inputs (B, T, size) -> (B, T, width), through pre-norm layers without a mask.

    Inputs of another size go through a linear map first.
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
