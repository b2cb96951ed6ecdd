"""Settings of LightGAN."""

import math
from typing import Annotated

from pydantic import Field, PositiveInt

from fpa.core.errors import UserError
from fpa.models.settings import DiscriminatorSettings, RecipeSettings, StrictSettings


class GeneratorSettings(StrictSettings):
    """Hyperparameters of LightGAN's generator; the defaults are the published ones."""

    latent_dim: Annotated[PositiveInt, Field(description="L, the size of the latent z")] = 256
    fmap_max: Annotated[PositiveInt, Field(description="most channels of any layer")] = 512
    attention: Annotated[
        tuple[int, ...], Field(description="widths (px) whose layer starts with attention")
    ] = (32,)
    heads: Annotated[PositiveInt, Field(description="attention heads")] = 8
    head_dim: Annotated[PositiveInt, Field(description="size of an attention head")] = 64

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
