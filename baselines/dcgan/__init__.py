"""DCGAN; `model.py` is the example to start a model of your own from.

What stands here is optional: with it, planning an experiment does not import the model.
"""

import math

from pydantic import Field

from fpa.core.lazy import LazyModule
from fpa.models.loading import Declaration, lazily
from fpa.models.settings import Size, StrictSettings


class DCGANSettings(StrictSettings):
    """What the constructor takes."""

    latent_dim: Size = 100
    width: Size = 64
    learning_rate: float = Field(2e-4, gt=0)
    ema_decay: float = Field(0.999, ge=0, le=1)

    def check(self, image_size: int, channels: int, base: object) -> None:
        """Every size of the schema will do."""


_model = LazyModule("baselines.dcgan.model")

MODELS = {
    "DCGAN": Declaration(
        lambda: _model.DCGAN,
        DCGANSettings,
        data_parallel=True,
        blind_loss=lambda settings: 2 * math.log(2),
    )
}
__getattr__, __dir__ = lazily(__name__, MODELS)
