"""Input generator v1: the same latent at every step."""

from torch import Tensor, nn

from fpa.models.settings import PainterSettings


class InputsV1(nn.Module):
    """The latent itself at every step; the initial state is linear(z)."""

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
