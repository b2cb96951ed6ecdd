"""StyleGAN2 with adaptive discriminator augmentation, the paper's strongest baseline."""

from baselines.stylegan2_ada.settings import StyleGAN2ADASettings
from fpa.models.declaration import Declaration, lazily

MODELS = {
    "StyleGAN2ADA": Declaration(
        "baselines.stylegan2_ada.model:StyleGAN2ADA",
        StyleGAN2ADASettings,
        version=2,
        data_parallel=True,
    ),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
