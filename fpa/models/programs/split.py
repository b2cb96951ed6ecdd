"""Input generator v1.5 ("split" in the public code): the latent itself, cut into one piece a step."""

from torch import Tensor, nn

from fpa.models.settings import PainterSettings


class InputsSplit(nn.Module):
    """z -> T pieces of L / T numbers, each through the same linear map; the initial state is zero."""

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
