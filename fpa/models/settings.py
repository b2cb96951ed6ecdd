"""Settings of the painters, their discriminator, U-Net and recipe, and which sizes go together.

Nothing here imports torch: an experiment is planned, and its mistakes are found, from this module.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from fpa.common.errors import UserError
from fpa.models.learning_rules import RULES
from fpa.models.programs import INPUTS, SEQUENCES

UNET_GROUPS = 8
"""Groups of the U-Net's group norms."""


class PainterSettings(BaseModel):
    """Hyperparameters of a painter; the defaults are the paper's main model at 64 x 64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[PositiveInt, Field(description="T, the number of rank-1 updates")] = 64
    latent_dim: Annotated[PositiveInt, Field(description="L, the size of the latent z")] = 512
    hidden_size: Annotated[PositiveInt, Field(description="units of each LSTM layer")] = 1024
    layers: Annotated[PositiveInt, Field(description="LSTM layers")] = 1
    rule: Annotated[str, Field(description="the learning rule: delta, additive")] = "delta"
    inputs: Annotated[
        str,
        Field(
            description="input generator: v1 the same latent at every step, v2 one latent a step"
        ),
    ] = "v2"
    sequence: Annotated[str, Field(description="the sequence network: lstm")] = "lstm"
    mini_latent_dim: Annotated[PositiveInt, Field(description="v2: size of each step's latent")] = 8
    mini_input_size: Annotated[PositiveInt, Field(description="v2: size of each LSTM input")] = 128
    mini_tanh: Annotated[bool, Field(description="v2: tanh on the step latents")] = True
    latent_to_state: Annotated[
        bool, Field(description="v2: (h_0, c_0) = linear(z), else zero; v1 always has it")
    ] = True
    position_codes: Annotated[
        bool, Field(description="add a learned code to each step's input")
    ] = False
    wide_dim: Annotated[
        int, Field(ge=0, description="width of a linear + ReLU before the key/value layer; 0: none")
    ] = 0
    softmax_keys: Annotated[bool, Field(description="softmax on the keys")] = True
    tanh_values: Annotated[bool, Field(description="tanh on the values")] = False
    vector_rates: Annotated[
        bool, Field(description="one rate per row of W instead of one a step")
    ] = False
    sigmoid_rates: Annotated[bool, Field(description="sigmoid on the rates")] = True
    learned_initial: Annotated[
        bool, Field(description="W_0 is learned; then the first step uses its rate as well")
    ] = False
    tanh_image: Annotated[bool, Field(description="tanh on the finished image")] = True

    @model_validator(mode="after")
    def _known_parts(self) -> "PainterSettings":
        try:
            rule = RULES.get(self.rule)
            INPUTS.get(self.inputs)
            SEQUENCES.get(self.sequence)
        except UserError as error:
            raise ValueError(str(error)) from None
        if self.vector_rates and not rule.vector_rates:
            able = " or ".join(name for name, entry in RULES.items() if entry.vector_rates)
            reason = "has one a step" if rule.has_rates else "has no rates"
            raise ValueError(f"vector_rates needs rule: {able} (the {self.rule} rule {reason})")
        return self

    def part_versions(self) -> dict[str, int]:
        """Versions of the parts and options in use, where they are not the first."""
        chosen = {
            f"rule {self.rule}": RULES[self.rule].version,
            f"inputs {self.inputs}": INPUTS[self.inputs].version,
            f"sequence {self.sequence}": SEQUENCES[self.sequence].version,
        }
        # Options whose start differs from version 1's.
        options = {
            "position codes": self.position_codes,
            "learned W_0": self.learned_initial,
            "vector rates": self.vector_rates,
            "additive v1": (self.rule, self.inputs) == ("additive", "v1"),
        }
        chosen |= {name: 2 for name, used in options.items() if used}
        return {name: version for name, version in chosen.items() if version != 1}


class DiscriminatorSettings(BaseModel):
    """Hyperparameters of the discriminator; the defaults are the published ones.

    Below 32 px there is no published counterpart. The same construction then takes the image's
    own 8 x 8 features and wants `view_size` and `reconstruction_size` set no larger than useful.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fmap_max: Annotated[PositiveInt, Field(description="most channels of any layer")] = 512
    attention: Annotated[
        tuple[int, ...], Field(description="widths (px) whose layer starts with attention")
    ] = (32,)
    heads: Annotated[PositiveInt, Field(description="attention heads")] = 8
    head_dim: Annotated[PositiveInt, Field(description="size of an attention head")] = 64
    view_size: Annotated[
        int, Field(ge=8, description="width (px) of the small view that gets its own logit")
    ] = 32
    view_width: Annotated[PositiveInt, Field(description="channels of the view's first layer")] = 64
    reconstruction_size: Annotated[
        int, Field(ge=16, description="width (px) of the decoder's image")
    ] = 128

    def check(self, image_size: int) -> None:
        """UserError unless the discriminator can be built for images of this size (px)."""
        levels = int(math.log2(image_size))
        if 2**levels != image_size or not 4 <= levels <= 8:
            raise UserError(
                f"the discriminator takes images of 16, 32, 64, 128 or 256 px, not {image_size}; "
                "change the data set's resolution"
            )
        doublings = math.log2(self.reconstruction_size / 8)
        if doublings != int(doublings):
            raise UserError(
                f"reconstruction_size must be 8 times a power of two, not {self.reconstruction_size}"
            )


class UNetSettings(BaseModel):
    """Hyperparameters of the U-Net; the default is the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_multiplier: Annotated[
        PositiveInt, Field(description="widths are the base width x 1, 2, 4, ... up to this")
    ] = 4
    width: Annotated[
        PositiveInt | None,
        Field(multiple_of=UNET_GROUPS, description="the base width; null: the image size"),
    ] = None

    def check(self, image_size: int) -> None:
        """UserError unless the U-Net can be built for images of this size (px)."""
        halvings = int(math.log2(self.max_multiplier))
        multiple = 2**halvings if self.width else max(UNET_GROUPS, 2**halvings)
        if image_size % multiple:
            raise UserError(
                f"a U-Net with max_multiplier {self.max_multiplier} takes images whose size is a "
                f"multiple of {multiple}, not {image_size} px; lower it, or change the resolution"
            )


class RecipeSettings(BaseModel):
    """Hyperparameters of the recipe; the defaults are the published ones. Steps count from 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: Annotated[PositiveFloat, Field(description="Adam, both networks")] = 2e-4
    betas: Annotated[tuple[float, float], Field(description="Adam, both networks")] = (0.5, 0.9)
    penalty_every: Annotated[
        PositiveInt, Field(description="gradient penalty on every n-th step")
    ] = 4
    penalty_weight: Annotated[PositiveFloat, Field(description="weight of that penalty")] = 10.0
    ema_decay: Annotated[float, Field(ge=0, lt=1, description="decay of one EMA update")] = 0.995
    ema_every: Annotated[PositiveInt, Field(description="EMA update on every n-th step")] = 10
    ema_start: Annotated[
        NonNegativeInt, Field(description="EMA updates only after this many steps")
    ] = 20_000
    ema_reset_every: Annotated[
        PositiveInt, Field(description="early on, EMA := generator at steps 2, 2 + n, 2 + 2n, ...")
    ] = 1_000
    ema_reset_until: Annotated[
        NonNegativeInt, Field(description="last step at which such a reset may happen")
    ] = 25_000


class FPASettings(BaseModel):
    """Settings of `fpa.models:FPA`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    painter: PainterSettings = PainterSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    recipe: RecipeSettings = RecipeSettings()

    def check(self, image_size: int, channels: int, base: Mapping[str, Any] | None) -> None:
        """UserError unless the networks can be built for such images."""
        self.discriminator.check(image_size)

    def part_versions(self) -> dict[str, int]:
        """Versions of the painter's parts, where they are not the first."""
        return self.painter.part_versions()


class StartSettings(BaseModel):
    """What the U-Net stage takes over from the painter's finished run; the defaults are published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Annotated[
        Literal["best", "last"],
        Field(description="of the painter's training: the best by its quick score, or the last"),
    ] = "best"
    painter: Annotated[
        Literal["raw", "ema"], Field(description="the trained painter itself, or its EMA")
    ] = "raw"
    discriminator: Annotated[
        Literal["continued", "afresh"],
        Field(description="the painter's discriminator, or one with new weights"),
    ] = "continued"
    discriminator_optimizer: Annotated[
        Literal["continued", "afresh"],
        Field(description="Adam's moments of that discriminator; a new one has none"),
    ] = "continued"


class FPAUNetSettings(BaseModel):
    """Settings of `fpa.models:FPAUNet`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unet: UNetSettings = UNetSettings()
    recipe: RecipeSettings = RecipeSettings()
    start: StartSettings = StartSettings()

    @property
    def base_checkpoint(self) -> str:
        """The checkpoint of the base's run that training starts from."""
        return self.start.checkpoint

    def check(self, image_size: int, channels: int, base: Mapping[str, Any] | None) -> None:
        """UserError unless the networks can be built for such images, on such a base."""
        if not base or "painter" not in base or "discriminator" not in base:
            raise UserError(
                "a U-Net refines a painter: its base must be a model of fpa.models:FPA, or one "
                "with the settings 'painter' and 'discriminator'"
            )
        self.unet.check(image_size)
