"""Settings of the painters' models, their networks and recipe, and which sizes go together.

Nothing here imports torch: an experiment is planned, and its mistakes are found, from this module.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from fpa.core.errors import UserError
from fpa.models.interface import Settings
from fpa.models.parts import INPUTS, RULES, SEQUENCES


class StrictSettings(BaseModel):
    """Settings that do not change and refuse what they do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


WITH_HEADS = ("transformer", "rfwp")
"""Sequence networks whose width is split between heads."""


class PainterSettings(StrictSettings):
    """Hyperparameters of a painter; the defaults are the paper's main model at 64 x 64."""

    steps: Annotated[PositiveInt, Field(description="T, the number of steps")] = 64
    latent_dim: Annotated[PositiveInt, Field(description="L, the size of the latent z")] = 512
    hidden_size: Annotated[
        PositiveInt, Field(description="units of each layer of the sequence network")
    ] = 1024
    layers: Annotated[PositiveInt, Field(description="layers of the sequence network")] = 1
    rule: Annotated[
        str,
        Field(
            description="the learning rule: delta, additive, oja, gated_delta, delta_product, "
            "rank_r_delta"
        ),
    ] = "delta"
    updates: Annotated[
        PositiveInt,
        Field(
            description="rank-1 updates a step: delta_product one after the other, rank_r_delta "
            "all at once"
        ),
    ] = 1
    inputs: Annotated[
        str,
        Field(
            description="input generator: v1 the same latent at every step, v2 one latent a step, "
            "split one piece of the latent a step"
        ),
    ] = "v2"
    sequence: Annotated[str, Field(description="the sequence network: lstm, transformer, rfwp")] = (
        "lstm"
    )
    heads: Annotated[PositiveInt, Field(description="transformer, rfwp: heads of a layer")] = 8
    feedforward_size: Annotated[
        PositiveInt, Field(description="transformer, rfwp: inner width of the feed-forward layers")
    ] = 1024
    mini_latent_dim: Annotated[PositiveInt, Field(description="v2: size of each step's latent")] = 8
    mini_input_size: Annotated[
        PositiveInt, Field(description="v2, split: size of each step's input")
    ] = 128
    mini_tanh: Annotated[bool, Field(description="v2: tanh on the step latents")] = True
    latent_to_state: Annotated[
        bool,
        Field(
            description="v2: the initial state is linear(z), else zero; v1 always has it, split never"
        ),
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
    lstm_init_factor: Annotated[
        PositiveFloat, Field(description="factor on the start of the LSTM's weights")
    ] = 1.0
    kvb_init_factor: Annotated[
        PositiveFloat, Field(description="factor on the start of the key/value layer's weights")
    ] = 1.0

    @model_validator(mode="after")
    def _parts_go_together(self) -> "PainterSettings":
        try:
            rule = RULES.find(self.rule)
            INPUTS.find(self.inputs)
            SEQUENCES.find(self.sequence)
        except UserError as error:
            raise ValueError(str(error)) from None
        if self.vector_rates and not rule.vector_rates:
            able = _either(name for name, entry in RULES.items() if entry.vector_rates)
            reason = "has one a step" if rule.has_rates else "has no rates"
            raise ValueError(f"vector_rates needs rule: {able} (the {self.rule} rule {reason})")
        if self.updates > 1 and not rule.several_updates:
            able = _either(name for name, entry in RULES.items() if entry.several_updates)
            raise ValueError(f"updates above 1 needs rule: {able} (a {self.rule} step makes one)")
        if self.inputs == "split" and self.latent_dim % self.steps:
            raise ValueError(
                f"inputs: split cuts the latent into equal pieces, and latent_dim {self.latent_dim} "
                f"is no multiple of steps {self.steps}"
            )
        if self.sequence in WITH_HEADS and self.hidden_size % self.heads:
            raise ValueError(
                f"sequence: {self.sequence} splits its width between heads, and hidden_size "
                f"{self.hidden_size} is no multiple of heads {self.heads}"
            )
        if (self.inputs, self.sequence) == ("v1", "transformer") and not self.position_codes:
            raise ValueError(
                "inputs: v1 gives a transformer the same input at every step, and without "
                "position_codes: true all its steps come out the same"
            )
        if self.lstm_init_factor != 1 and self.sequence != "lstm":
            raise ValueError(f"lstm_init_factor needs sequence: lstm, not {self.sequence}")
        if self.kvb_init_factor != 1 and self.starts_as_torch:
            raise ValueError(
                "kvb_init_factor scales the published start of a key/value layer behind an LSTM; "
                f"with rule: {self.rule} and sequence: {self.sequence} it starts as torch's layers"
            )
        return self

    @property
    def starts_as_torch(self) -> bool:
        """Whether layers around the sequence network start as torch starts them.

        As published for the additive rule, the Transformer and the recurrent fast weights.
        """
        return self.rule == "additive" or self.sequence in WITH_HEADS

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


def _either(names: Iterable[str]) -> str:
    """a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


UNET_GROUPS = 8
"""Groups of the U-Net's group norms."""


class DiscriminatorSettings(StrictSettings):
    """Hyperparameters of the discriminator; the defaults are the published ones.

    Below 32 px there is no published counterpart. The same construction then takes the image's
    own 8 x 8 features and wants `view_size` and `reconstruction_size` set no larger than useful.
    """

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


class UNetSettings(StrictSettings):
    """Hyperparameters of the U-Net; the default is the paper's."""

    max_multiplier: Annotated[
        PositiveInt, Field(description="widths are the base width x 1, 2, 4, ... up to this")
    ] = 4
    width: Annotated[
        PositiveInt | None,
        Field(multiple_of=UNET_GROUPS, description="the base width; null: the image size"),
    ] = None
    tanh_input: Annotated[
        bool | None,
        Field(description="tanh on what the U-Net gets; null: where the painter's image has one"),
    ] = None
    residual: Annotated[
        bool,
        Field(
            description="the U-Net's output is added to the painter's matrix W_T, its last layer "
            "starts at zero: training begins with the painter's own images (not in the paper)"
        ),
    ] = False

    def check(self, image_size: int) -> None:
        """UserError unless the U-Net can be built for images of this size (px)."""
        halvings = int(math.log2(self.max_multiplier))
        multiple = 2**halvings if self.width else max(UNET_GROUPS, 2**halvings)
        if image_size % multiple:
            raise UserError(
                f"a U-Net with max_multiplier {self.max_multiplier} takes images whose size is a "
                f"multiple of {multiple}, not {image_size} px; lower it, or change the resolution"
            )


class RecipeSettings(StrictSettings):
    """Hyperparameters of the recipe; the defaults are the paper's. Steps count from 0."""

    learning_rate: Annotated[PositiveFloat, Field(description="Adam, both networks")] = 2e-4
    betas: Annotated[tuple[float, float], Field(description="Adam, both networks")] = (0.5, 0.9)
    discriminator_rate_factor: Annotated[
        PositiveFloat, Field(description="the discriminator's learning rate over learning_rate")
    ] = 1.0
    accumulation: Annotated[
        PositiveInt,
        Field(description="passes that a batch is computed in, gradients summed up"),
    ] = 1
    augment_probability: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of batches, real and fake, that the discriminator sees flipped, cut "
            "out and moved (DiffAugment)",
        ),
    ] = 0.0
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


class FPASettings(StrictSettings):
    """Settings of `fpa.models:FPA`."""

    painter: PainterSettings = PainterSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    recipe: RecipeSettings = RecipeSettings()
    partial_images: Annotated[
        PositiveInt,
        Field(
            description="J, images of each latent to train on: W_t at J - 1 earlier steps and the "
            "finished one; 1: that alone"
        ),
    ] = 1
    scale_partial_images: Annotated[
        bool, Field(description="partial image j times J / j, before the tanh")
    ] = False

    @model_validator(mode="after")
    def _has_such_images(self) -> "FPASettings":
        rule, steps = self.painter.rule, self.painter.steps
        if self.partial_images > 1 and RULES[rule].decays:
            raise ValueError(
                f"partial_images above 1 needs a rule without a decay: {rule} gives its earlier "
                "updates as they are left in the finished image"
            )
        if self.partial_images > steps:
            raise ValueError(
                f"partial_images {self.partial_images} is more than the painter's steps, {steps}"
            )
        if self.scale_partial_images and self.partial_images == 1:
            raise ValueError("scale_partial_images needs partial_images above 1")
        return self

    def check(self, image_size: int, channels: int, base: Settings | None) -> None:
        """UserError unless the networks can be built for such images."""
        self.discriminator.check(image_size)

    def part_versions(self) -> dict[str, int]:
        """Versions of the painter's parts, where they are not the first."""
        return self.painter.part_versions()


class StartSettings(StrictSettings):
    """What the U-Net stage takes over from the painter's finished run; the defaults are published."""

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


class RefiningSettings(StrictSettings):
    """What is trained of painter and U-Net; the defaults are the paper's: the U-Net alone."""

    painter: Annotated[
        Literal["frozen", "trained"], Field(description="whether the painter is trained along")
    ] = "frozen"
    gradient_into_painter: Annotated[
        bool, Field(description="the refined image's loss reaches a painter that is trained")
    ] = False
    unrefined_loss: Annotated[
        bool, Field(description="the discriminator judges the painter's own image too")
    ] = False
    unet_learning_rate: Annotated[
        PositiveFloat | None,
        Field(description="Adam, the U-Net beside a trained painter; null: the recipe's"),
    ] = None

    @model_validator(mode="after")
    def _painter_learns(self) -> "RefiningSettings":
        trained = self.painter == "trained"
        if self.gradient_into_painter and not trained:
            raise ValueError(
                "gradient_into_painter needs painter: trained; a frozen one takes none"
            )
        if self.unet_learning_rate and not trained:
            raise ValueError(
                "unet_learning_rate needs painter: trained; a U-Net on a frozen painter has the "
                "recipe's learning_rate"
            )
        if trained and not (self.gradient_into_painter or self.unrefined_loss):
            raise ValueError(
                "painter: trained needs gradient_into_painter or unrefined_loss; without either, no "
                "loss reaches the painter"
            )
        return self


class FPAUNetSettings(StrictSettings):
    """Settings of `fpa.models:FPAUNet`."""

    unet: UNetSettings = UNetSettings()
    recipe: RecipeSettings = RecipeSettings()
    start: StartSettings = StartSettings()
    refining: RefiningSettings = RefiningSettings()

    @property
    def base_checkpoint(self) -> str:
        """The checkpoint of the base's run that training starts from."""
        return self.start.checkpoint

    def check(self, image_size: int, channels: int, base: Settings | None) -> None:
        """UserError unless the networks can be built for such images, on such a base."""
        if not base or "painter" not in base or "discriminator" not in base:
            raise UserError(
                "a U-Net refines a painter: its base must be a model of fpa.models:FPA, or one "
                "with the settings 'painter' and 'discriminator'"
            )
        self.unet.check(image_size)
