"""StyleGAN2 with adaptive discriminator augmentation, the paper's strongest baseline."""

import math

from baselines.stylegan2_ada.settings import StyleGAN2ADASettings
from fpa.core.lazy import LazyModule
from fpa.models.loading import Declaration, lazily

_model = LazyModule("baselines.stylegan2_ada.model")

MODELS = {
    "StyleGAN2ADA": Declaration(
        lambda: _model.StyleGAN2ADA,
        StyleGAN2ADASettings,
        version=2,
        data_parallel=True,
        blind_loss=lambda settings: 2 * math.log(2),
    ),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
