"""Input generator v2: the latent becomes one small latent for each step."""

from torch import Tensor, nn

from fpa.models.settings import PainterSettings


class InputsV2(nn.Module):
    """z -> T small latents, each through the same linear map to the sequence network's input."""

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
