"""LightGAN (FastGAN's small convolutional generator), the paper's first baseline."""

from baselines.lightgan.settings import LightGANSettings
from fpa.core.lazy import LazyModule
from fpa.models.loading import Declaration, lazily

_model = LazyModule("baselines.lightgan.model")

MODELS = {
    "LightGAN": Declaration(
        lambda: _model.LightGAN,
        LightGANSettings,
        version=2,
        data_parallel=True,
        blind_loss=lambda settings: (
            4.0
        ),  # a hinge of 1 for real and for generated images, two logits each
    )
}
__getattr__, __dir__ = lazily(__name__, MODELS)
