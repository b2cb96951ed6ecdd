"""LightGAN (FastGAN's small convolutional generator), the paper's first baseline."""

from baselines.lightgan.generator import Generator
from baselines.lightgan.settings import GeneratorSettings
from fpa.models.discriminator import Discriminator
from fpa.models.recipe import AdversarialModel
from fpa.models.settings import DiscriminatorSettings, RecipeSettings


class LightGAN(AdversarialModel[Generator]):
    """LightGAN's generator against its own discriminator: the painters', with its blur layers on."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        generator: GeneratorSettings = GeneratorSettings(),
        discriminator: DiscriminatorSettings = DiscriminatorSettings(),
        recipe: RecipeSettings = RecipeSettings(),
    ) -> None:
        super().__init__(
            Generator(image_size, channels, generator),
            Discriminator(image_size, channels, discriminator, blur=True),
            recipe,
        )
