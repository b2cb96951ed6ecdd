"""LightGAN (FastGAN's small convolutional generator), the paper's first baseline."""

from baselines.lightgan.settings import LightGANSettings
from fpa.models.declaration import Declaration, lazily

MODELS = {
    "LightGAN": Declaration(
        "baselines.lightgan.model:LightGAN", LightGANSettings, version=2, data_parallel=True
    ),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
