"""The painters as models of an experiment: `fpa.models:FPA` and `fpa.models:FPAUNet`."""

from torch import Tensor, nn

from fpa.models.adversarial_training import (
    AdversarialModel,
    ParameterGroups,
    load_optimizer_tensors,
    optimizer_tensors,
)
from fpa.models.discriminator import Discriminator
from fpa.models.interface import Settings, Weights
from fpa.models.painter import Painter
from fpa.models.settings import (
    DiscriminatorSettings,
    PainterSettings,
    RecipeSettings,
    RefiningSettings,
    StartSettings,
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
        partial_images: int = 1,
        scale_partial_images: bool = False,
    ) -> None:
        super().__init__(
            Painter(image_size, channels, painter),
            Discriminator(image_size, channels, discriminator),
            recipe,
            pooled=partial_images > 1,
        )
        self.partial_images, self.scale_partial_images = partial_images, scale_partial_images

    def fakes(self, generator: nn.Module, z: Tensor) -> Tensor:
        return generator(z, self.partial_images, self.scale_partial_images)

    def start_for_others(self) -> dict[str, dict[str, Tensor]]:
        """The trained painter, the discriminator, and the discriminator's Adam state."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": optimizer_tensors(
                self.discriminator_optimizer, self.discriminator
            ),
        }

    def paint(self, z: Tensor) -> dict[str, Tensor]:
        """The EMA painter's trace for latents (B, L), and its finished image."""
        trace = self.ema.trace(z)
        return {"image": trace["painted"], **trace}


class FPAUNet(AdversarialModel[RefinedPainter]):
    """A U-Net on the painter of a finished FPA run, frozen unless set otherwise (paper, section 3.3).

    As published, the stage starts from the painter's best checkpoint: the trained painter, not its
    EMA, below a new U-Net; the painter's discriminator and that one's Adam state; a new optimizer
    for the U-Net. The EMA generator has the painter's EMA until its first reset, at step 2.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        base: Settings,
        unet: UNetSettings = UNetSettings(),
        recipe: RecipeSettings = RecipeSettings(),
        start: StartSettings = StartSettings(),
        refining: RefiningSettings = RefiningSettings(),
    ) -> None:
        painter = Painter(image_size, channels, PainterSettings(**base["painter"]))
        discriminator = DiscriminatorSettings(**base["discriminator"])
        super().__init__(
            RefinedPainter(
                painter,
                UNet(image_size, channels, unet),
                frozen=refining.painter == "frozen",
                gradient=refining.gradient_into_painter,
            ),
            Discriminator(image_size, channels, discriminator),
            recipe,
            pooled=True,
        )
        self.start, self.refining = start, refining

    def fakes(self, generator: nn.Module, z: Tensor) -> Tensor:
        return generator(z, self.refining.unrefined_loss)

    def generator_groups(self) -> ParameterGroups:
        groups = super().generator_groups()
        rate = self.refining.unet_learning_rate
        if rate is None:
            return groups
        painter, unet = self.generator.painter, self.generator.unet
        return [
            {"params": list(painter.parameters())},
            {"params": list(unet.parameters()), "lr": rate},
        ]

    def start_from(self, weights: Weights) -> None:
        """Copy the finished run's painter and, unless set otherwise, its discriminator."""
        best = self.start.checkpoint == "best"
        prefix = "best_" if best else ""
        raw, ema = weights[f"{prefix}generator"], weights["best" if best else "ema"]
        self.generator.painter.load_state_dict(raw if self.start.painter == "raw" else ema)
        self.ema.painter.load_state_dict(ema)
        if self.start.discriminator == "continued":
            self.discriminator.load_state_dict(weights[f"{prefix}discriminator"])
            if self.start.discriminator_optimizer == "continued":
                load_optimizer_tensors(
                    self.discriminator_optimizer,
                    self.discriminator,
                    # A best checkpoint before the first step has none.
                    weights.get(f"{prefix}discriminator_optimizer", {}),
                )

    @property
    def unrefined(self) -> Painter:
        """The painter."""
        return self.generator.painter

    def paint(self, z: Tensor) -> dict[str, Tensor]:
        """The painter's trace for latents (B, L), and the refined image."""
        return {"image": self.ema(z), **self.ema.painter.trace(z)}
