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
    """Settings that do not change and refuse what they do not know; what stands below one describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Decay = Annotated[float, Field(ge=0, lt=1)]
"""How much of a running mean stays."""

LARGEST = 65_536
Size = Annotated[int, Field(ge=1, le=LARGEST)]
"""Units, channels, steps: a network with more fits no machine."""

WITH_HEADS = ("transformer", "rfwp")
"""Sequence networks whose width is split between heads."""


class PainterSettings(StrictSettings):
    """Hyperparameters of a painter; the defaults are the paper's main model at 64 x 64."""

    steps: Size = 64
    """T, the number of steps."""
    latent_dim: Size = 512
    """L, the size of the latent z."""
    hidden_size: Size = 1024
    """Units of each layer of the sequence network."""
    layers: Size = 1
    """Layers of the sequence network."""
    rule: str = "delta"
    """The learning rule: delta, additive, oja, gated_delta, delta_product, rank_r_delta."""
    updates: Size = 1
    """Rank-1 updates a step: delta_product one after the other, rank_r_delta all at once."""
    inputs: str = "v2"
    """Input generator: v1 the same latent at every step, v2 one latent a step, split one piece of the
    latent a step."""
    sequence: str = "lstm"
    """The sequence network: lstm, transformer, rfwp."""
    heads: Size = 8
    """transformer, rfwp: heads of a layer."""
    feedforward_size: Size = 1024
    """transformer, rfwp: inner width of the feed-forward layers."""
    mini_latent_dim: Size = 8
    """v2: size of each step's latent."""
    mini_input_size: Size = 128
    """v2, split: size of each step's input."""
    mini_tanh: bool = True
    """v2: tanh on the step latents."""
    latent_to_state: bool = True
    """v2: the initial state is linear(z), else zero; v1 always has it, split never."""
    position_codes: bool = False
    """Add a learned code to each step's input."""
    wide_dim: int = Field(0, ge=0, le=LARGEST)
    """Width of a linear + ReLU before the key/value layer; 0: none."""
    softmax_keys: bool = True
    """Softmax on the keys."""
    tanh_values: bool = False
    """tanh on the values."""
    vector_rates: bool = False
    """One rate per row of W instead of one a step."""
    sigmoid_rates: bool = True
    """Sigmoid on the rates."""
    learned_initial: bool = False
    """W_0 is learned; then the first step uses its rate as well."""
    tanh_image: bool = True
    """tanh on the finished image."""
    lstm_init_factor: PositiveFloat = 1.0
    """Factor on the start of the LSTM's weights."""
    kvb_init_factor: PositiveFloat = 1.0
    """Factor on the start of the key/value layer's weights."""

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
                f"is not a multiple of steps {self.steps}"
            )
        if self.sequence in WITH_HEADS and self.hidden_size % self.heads:
            raise ValueError(
                f"sequence: {self.sequence} splits its width between heads, and hidden_size "
                f"{self.hidden_size} is not a multiple of heads {self.heads}"
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

    fmap_max: Size = 512
    """Most channels of any layer."""
    attention: tuple[PositiveInt, ...] = (32,)
    """Widths (px) whose layer starts with attention."""
    heads: Size = 8
    """Attention heads."""
    head_dim: Size = 64
    """Size of an attention head."""
    view_size: int = Field(32, ge=8, le=256)
    """Width (px) of the small view that gets its own logit."""
    view_width: Size = 64
    """Channels of the view's first layer."""
    reconstruction_size: int = Field(128, ge=16, le=1024)
    """Width (px) of the decoder's image."""

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


def check_attention(widths: tuple[int, ...], name: str, least: int, most: int) -> None:
    """UserError for widths (px) that no layer of a network has; its layers' are powers of two from `least`
    to `most`. The published default may name another one, at other sizes than the published ones.
    """
    there = [2**n for n in range(int(math.log2(least)), int(math.log2(most)) + 1)]
    wrong = [width for width in widths if width not in there or widths.count(width) > 1]
    if wrong and widths != (32,):
        raise UserError(
            f"{name}.attention: expected widths of its layers ({', '.join(map(str, there))}), each once, "
            f"found {wrong[0]}"
        )


class UNetSettings(StrictSettings):
    """Hyperparameters of the U-Net; the default is the paper's."""

    max_multiplier: Size = 4
    """Widths are the base width x 1, 2, 4, ... up to this."""
    width: Size | None = Field(None, multiple_of=UNET_GROUPS)
    """The base width; null: the image size."""
    tanh_input: bool | None = None
    """tanh on what the U-Net gets; null: where the painter's image has one."""
    residual: bool = False
    """The U-Net's output is added to the painter's matrix W_T, its last layer starts at zero: training
    begins with the painter's own images (not in the paper)."""

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

    learning_rate: PositiveFloat = 2e-4
    """Adam, both networks."""
    betas: tuple[Decay, Decay] = (0.5, 0.9)
    """Adam, both networks."""
    discriminator_rate_factor: PositiveFloat = 1.0
    """The discriminator's learning rate over learning_rate."""
    accumulation: PositiveInt = 1
    """Passes that a batch is computed in, gradients summed up."""
    augment_probability: float = Field(0.0, ge=0, le=1)
    """Share of batches, real and fake, that the discriminator sees flipped, cut out and moved
    (DiffAugment)."""
    penalty_every: PositiveInt = 4
    """Gradient penalty on every n-th step."""
    penalty_weight: PositiveFloat = 10.0
    """Weight of that penalty."""
    ema_decay: Decay = 0.995
    """Decay of one EMA update."""
    ema_every: PositiveInt = 10
    """EMA update on every n-th step."""
    ema_start: NonNegativeInt = 20_000
    """EMA updates only after this many steps."""
    ema_reset_every: PositiveInt = 1_000
    """Early on, EMA := generator at steps 2, 2 + n, 2 + 2n, ..."""
    ema_reset_until: NonNegativeInt = 25_000
    """Last step at which such a reset may happen."""


class FPASettings(StrictSettings):
    """Settings of `fpa.models:FPA`."""

    painter: PainterSettings = PainterSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    recipe: RecipeSettings = RecipeSettings()
    partial_images: PositiveInt = 1
    """J, images of each latent to train on: W_t at J - 1 earlier steps and the finished one; 1: that
    alone."""
    scale_partial_images: bool = False
    """Partial image j times J / j, before the tanh."""

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
        check_attention(self.discriminator.attention, "discriminator", 16, image_size)

    def part_versions(self) -> dict[str, int]:
        """Versions of the painter's parts, where they are not the first."""
        return self.painter.part_versions()


class StartSettings(StrictSettings):
    """What the U-Net stage starts from of the painter's finished run; the defaults are published."""

    checkpoint: Literal["best", "last"] = "best"
    """Of the painter's training: the best by its quick score, or the last."""
    painter: Literal["raw", "ema"] = "raw"
    """The trained painter itself, or its EMA."""
    discriminator: Literal["continued", "afresh"] = "continued"
    """The painter's discriminator, or one with new weights."""
    discriminator_optimizer: Literal["continued", "afresh"] = "continued"
    """Adam's moments of that discriminator; a new one has none."""


class RefiningSettings(StrictSettings):
    """What is trained of painter and U-Net; the defaults are the paper's: the U-Net alone."""

    painter: Literal["frozen", "trained"] = "frozen"
    """Whether the painter is trained along."""
    gradient_into_painter: bool = False
    """The refined image's loss reaches a painter that is trained."""
    unrefined_loss: bool = False
    """The discriminator judges the painter's own image too."""
    unet_learning_rate: PositiveFloat | None = None
    """Adam, the U-Net beside a trained painter; null: the recipe's."""

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
