"""Settings of LightGAN."""

import math

from pydantic import PositiveInt

from fpa.core.errors import UserError
from fpa.models.settings import (
    DiscriminatorSettings,
    RecipeSettings,
    Size,
    StrictSettings,
    check_attention,
)


class GeneratorSettings(StrictSettings):
    """Hyperparameters of LightGAN's generator; the defaults are the published ones."""

    latent_dim: Size = 256
    """L, the size of the latent z."""
    fmap_max: Size = 512
    """Most channels of any layer."""
    attention: tuple[PositiveInt, ...] = (32,)
    """Widths (px) whose layer starts with attention."""
    heads: Size = 8
    """Attention heads."""
    head_dim: Size = 64
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
        check_attention(self.generator.attention, "generator", 4, image_size // 2)
        check_attention(self.discriminator.attention, "discriminator", 16, image_size)
