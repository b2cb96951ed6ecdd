"""The painters as models of an experiment: `fpa.models:FPA` and `fpa.models:FPAUNet`."""

from torch import Tensor, nn

from fpa.models.discriminator import Discriminator
from fpa.models.interface import Base, Weights
from fpa.models.painter import Painter
from fpa.models.recipe import AdversarialModel
from fpa.models.settings import (
    DiscriminatorSettings,
    PainterSettings,
    RecipeSettings,
    UNetSettings,
)
from fpa.models.unet import RefinedPainter, UNet


class FPA(AdversarialModel[Painter]):
    """A Fast Weight Painter against the LightGAN-style discriminator (paper, section 3)."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        painter: PainterSettings = PainterSettings(),
        discriminator: DiscriminatorSettings = DiscriminatorSettings(),
        recipe: RecipeSettings = RecipeSettings(),
    ) -> None:
        super().__init__(
            Painter(image_size, channels, painter),
            Discriminator(image_size, channels, discriminator),
            recipe,
        )

    def paint(self, z: Tensor) -> dict[str, Tensor]:
        """The EMA painter's trace for latents (B, L), and its finished image."""
        trace = self.ema.trace(z)
        return {"image": trace["painted"], **trace}


class FPAUNet(AdversarialModel[RefinedPainter]):
    """A U-Net on the frozen EMA painter of a finished FPA run (paper, section 3.3).

    The discriminator goes on from that run (`continue_discriminator`), optimizers start afresh.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        base: Base,
        unet: UNetSettings = UNetSettings(),
        recipe: RecipeSettings = RecipeSettings(),
        continue_discriminator: bool = True,
    ) -> None:
        painter = Painter(image_size, channels, PainterSettings(**base["painter"]))
        discriminator = DiscriminatorSettings(**base["discriminator"])
        super().__init__(
            RefinedPainter(painter, UNet(image_size, channels, unet)),
            Discriminator(image_size, channels, discriminator),
            recipe,
            adversarial_weight=0.5,
        )
        self.continue_discriminator = continue_discriminator

    def start_from(self, networks: Weights) -> None:
        """Take over the finished run's EMA painter and, unless set otherwise, discriminator."""
        painters: list[nn.Module] = [self.generator.painter, self.ema.painter]
        for painter in painters:
            painter.load_state_dict(networks["ema"])
        if self.continue_discriminator:
            self.discriminator.load_state_dict(networks["discriminator"])

    def paint(self, z: Tensor) -> dict[str, Tensor]:
        """The frozen painter's trace for latents (B, L), and the refined image."""
        return {"image": self.ema(z), **self.ema.painter.trace(z)}
