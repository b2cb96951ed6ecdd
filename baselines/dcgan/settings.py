"""Settings of DCGAN."""

from pydantic import BaseModel, ConfigDict


class DCGANSettings(BaseModel):
    """What the constructor takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latent_dim: int = 100
    width: int = 64
    learning_rate: float = 2e-4
    ema_decay: float = 0.999

    def check(self, image_size: int, channels: int, base: object) -> None:
        """Every size of the schema will do."""
