"""Settings of StyleGAN2-ADA: the published presets, and every value that they set."""

from typing import Any, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from fpa.core.errors import UserError
from fpa.models.settings import Decay, Size, StrictSettings

Preset = Literal["auto", "stylegan2", "paper256", "cifar"]

BY_PRESET = {
    "mapping_layers": (2, 8, 8, 2),
    "channel_base": (16384, 32768, 16384, 32768),
    "deviation_group": (4, 4, 8, 32),
    "residual": (True, True, True, False),
    "learning_rate": (0.0025, 0.002, 0.0025, 0.0025),
    # That and ema_kimg follow from the image size (auto) and the batch of the training (stylegan2).
    "r1_gamma": (None, None, 1.0, 0.01),
    "path_length_weight": (2.0, 2.0, 2.0, 0.0),
    "style_mixing": (0.9, 0.9, 0.9, 0.0),
    "ema_kimg": (None, None, 20.0, 500.0),
    "ema_rampup": (0.05, 0.05, 0.0, 0.05),
    "w_average_decay": (0.995, 0.998, 0.995, 0.995),
    "w_average_every_pass": (True, False, True, True),
}
PRESETS: dict[Preset, dict[str, Any]] = {
    preset: {name: values[place] for name, values in BY_PRESET.items()}
    for place, preset in enumerate(get_args(Preset))
}
"""As published: what a setting left at null takes. `stylegan2` is --cfg=stylegan2 of the StyleGAN3
code, which trained the paper's StyleGAN2; the others are the StyleGAN2-ADA code's (PyTorch)."""


def auto_batch(image_size: int) -> int:
    """The batch of `auto` on one GPU, which its R1 weight and its EMA assume."""
    return max(1, min(4096 // image_size, 32))


def heuristic_gamma(image_size: int, batch: int) -> float:
    """The published heuristic for the weight of R1."""
    return 0.0002 * image_size**2 / batch


def heuristic_ema_kimg(batch: int) -> float:
    """The published half-life of the EMA, in thousand images."""
    return batch * 10 / 32


class NetworkSettings(StrictSettings):
    """Sizes of generator and discriminator; null takes the preset's."""

    latent_dim: Size = 512
    """Z, size of a latent."""
    w_dim: Size = 512
    """W, size of the mapped latent."""
    mapping_layers: Size | None = None
    """Layers from z to w."""
    channel_base: Size | None = None
    """Channels at size s: this / s, at most channel_max."""
    channel_max: Size = 512
    """Most channels of a layer."""
    deviation_group: Size | None = None
    """Samples of a minibatch deviation, at most."""
    residual: bool | None = None
    """Residual discriminator."""


class RecipeSettings(StrictSettings):
    """Training hyperparameters; null takes the preset's."""

    learning_rate: PositiveFloat | None = None
    """Adam, both networks."""
    betas: tuple[Decay, Decay] = (0.0, 0.99)
    """Adam, both networks."""
    r1_gamma: NonNegativeFloat | None = None
    """Weight of R1; auto and stylegan2: 0.0002 * size^2 / batch."""
    r1_every: PositiveInt = 16
    """R1 on every n-th step."""
    path_length_weight: NonNegativeFloat | None = None
    """Weight of path length regularisation."""
    path_length_every: PositiveInt = 4
    """Path length regularisation on every n-th step."""
    path_length_decay: float = Field(0.01, gt=0, le=1)
    """Decay of the mean path length."""
    style_mixing: float | None = Field(None, ge=0, le=1)
    """Probability of two latents in one image."""
    ema_kimg: PositiveFloat | None = None
    """Half-life of the EMA; auto and stylegan2: batch * 10 / 32."""
    ema_rampup: NonNegativeFloat | None = None
    """Half-life at most this share of the images so far; 0 for no such limit."""
    w_average_decay: float | None = Field(None, ge=0, lt=1)
    """Decay of the mean w, for truncation."""
    w_average_every_pass: bool | None = None
    """It follows every pass, not only the discriminator's."""
    truncation: float = Field(1.0, gt=0, le=1)
    """Of w in evaluation; 1 for none."""


class AugmentSettings(StrictSettings):
    """Adaptive discriminator augmentation."""

    enabled: bool = True
    """False for plain StyleGAN2."""
    target: float = Field(0.6, gt=-1, lt=1)
    """r_t = E[sign D(real)]."""
    every: PositiveInt = 4
    """Steps between two adjustments of p."""
    kimg: PositiveFloat = 500.0
    """Thousand images in which p can go from 0 to 1."""


def fill(settings: StrictSettings, preset: Preset, image_size: int) -> Any:
    """The settings, of the same class, with everything that is null taken from the preset.

    With `stylegan2`, r1_gamma and ema_kimg stay null: the batch of the training sets them.
    """
    chosen = dict(PRESETS[preset])
    if preset == "auto":
        batch = auto_batch(image_size)
        chosen["r1_gamma"] = heuristic_gamma(image_size, batch)
        chosen["ema_kimg"] = heuristic_ema_kimg(batch)
    missing = [name for name, value in settings if value is None]
    return settings.model_copy(update={name: chosen[name] for name in missing})


class StyleGAN2ADASettings(StrictSettings):
    """What the constructor takes."""

    preset: Preset = "auto"
    networks: NetworkSettings = NetworkSettings()
    recipe: RecipeSettings = RecipeSettings()
    augment: AugmentSettings = AugmentSettings()

    def check(self, image_size: int, channels: int, base: object) -> None:
        """UserError unless every layer has a channel at images of this size (px)."""
        base = self.networks.channel_base or PRESETS[self.preset]["channel_base"]
        if base < image_size:
            raise UserError(
                f"networks.channel_base: {base} leaves no channel to layers of {image_size} px; set it "
                f"to {image_size} or more"
            )
