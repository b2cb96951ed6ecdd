"""Settings of LightGAN."""

import math

from pydantic import PositiveInt

from fpa.core.errors import UserError
from fpa.models.settings import DiscriminatorSettings, RecipeSettings, StrictSettings


class GeneratorSettings(StrictSettings):
    """Hyperparameters of LightGAN's generator; the defaults are the published ones."""

    latent_dim: PositiveInt = 256
    """L, the size of the latent z."""
    fmap_max: PositiveInt = 512
    """Most channels of any layer."""
    attention: tuple[PositiveInt, ...] = (32,)
    """Widths (px) whose layer starts with attention."""
    heads: PositiveInt = 8
    """Attention heads."""
    head_dim: PositiveInt = 64
    """Size of an attention head."""

    def check(self, image_size: int) -> None:
        """UserError unless the generator can be built for images of this size (px)."""
        levels = int(math.log2(image_size))
        if 2**levels != image_size or not 3 <= levels <= 8:
            raise UserError(
                f"LightGAN paints images of 8, 16, ... or 256 px, not {image_size}; "
                "change the data set's resolution"
            )


class LightGANSettings(StrictSettings):
    """What the constructor takes."""

    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    recipe: RecipeSettings = RecipeSettings()

    def check(self, image_size: int, channels: int, base: object) -> None:
        """UserError unless the networks can be built for images of this size (px)."""
        self.generator.check(image_size)
        self.discriminator.check(image_size)
