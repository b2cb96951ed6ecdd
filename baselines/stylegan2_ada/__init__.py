"""StyleGAN2 with adaptive discriminator augmentation, the paper's strongest baseline."""

import math

from baselines.stylegan2_ada.settings import StyleGAN2ADASettings
from fpa.models.loading import Declaration, lazily


def _stylegan2_ada() -> type:
    from baselines.stylegan2_ada.model import StyleGAN2ADA

    return StyleGAN2ADA


MODELS = {
    "StyleGAN2ADA": Declaration(
        _stylegan2_ada,
        StyleGAN2ADASettings,
        version=2,
        data_parallel=True,
        blind_loss=lambda settings: 2 * math.log(2),
    ),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
