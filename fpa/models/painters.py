"""The painters as models of an experiment: `fpa.models:FPA` and `fpa.models:FPAUNet`."""

import torch
from torch import Tensor, nn

from fpa.models.discriminator import Discriminator, DiscriminatorSettings
from fpa.models.interface import Base
from fpa.models.painter import Painter, PainterSettings
from fpa.models.recipe import AdversarialModel, RecipeSettings
from fpa.models.unet import RefinedPainter, UNet, UNetSettings


def _strokes(painter: Painter, z: Tensor) -> dict[str, Tensor]:
    """A painting's parts by name, as saved for the figures (shapes: fpa.models.painter.Painting)."""
    painting = painter.paint(z)
    parts = {
        "painted": painting.image,
        "keys": painting.keys,
        "values": painting.values,
        "rates": painting.rates,
        "writes": painting.writes,
        "tanh": torch.tensor(painter.settings.tanh_image),
    }
    if painter.initial is not None:
        parts["initial"] = painter.initial
    return parts


class FPA(AdversarialModel):
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
        """The EMA painter's strokes for latents (B, L), and its finished image."""
        parts = _strokes(self.ema, z)
        return {"image": parts["painted"], **parts}


class FPAUNet(AdversarialModel):
    """A U-Net on the frozen EMA painter of a finished FPA run (paper, section 3.3).

    The discriminator goes on from that run (`continue_discriminator`), optimizers start afresh.
    """

    needs_base = True

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

    def start_from(self, networks: dict[str, dict[str, Tensor]]) -> None:
        """Take over the finished run's EMA painter and, unless told otherwise, discriminator."""
        painters: list[nn.Module] = [self.generator.painter, self.ema.painter]
        for painter in painters:
            painter.load_state_dict(networks["ema"])
        if self.continue_discriminator:
            self.discriminator.load_state_dict(networks["discriminator"])

    def paint(self, z: Tensor) -> dict[str, Tensor]:
        """The frozen painter's strokes for latents (B, L), and the refined image."""
        return {"image": self.ema(z), **_strokes(self.ema.painter, z)}
