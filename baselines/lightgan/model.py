"""LightGAN (FastGAN's small convolutional generator), as published with the painters' code."""

import math

import torch
from torch import Tensor, nn

from baselines.lightgan.settings import GeneratorSettings
from fpa.core import distributed
from fpa.models.adversarial_training import AdversarialModel
from fpa.models.convolutions import FewChannels, FromVector
from fpa.models.discriminator import Discriminator
from fpa.models.layers import LEAK, Blur, DualAttention, init_kaiming
from fpa.models.settings import DiscriminatorSettings, RecipeSettings

EXCITATION_GAP = 3
"""A map of width 2^n, n >= 4, gates that of width 2^(n + 3): 16 -> 128 px, 32 -> 256 px."""


class Noise(nn.Module):
    """x + w * noise, one normal value a position, w a learned scalar that starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * distributed.randn_like(x[:, :1])


class GrowBlock(nn.Module):
    """Double the size: upsample, blur, 4 x 4 conv, noise, batch norm, GLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.blur = Blur(scale=2, padding=(2, 1))
        self.conv = nn.Conv2d(inputs, 2 * outputs, 4)
        self.noise = Noise()
        self.norm = distributed.BatchNorm2d(2 * outputs)
        self.glu = nn.GLU(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.blur(x))
        return self.glu(self.norm(self.noise(x)))


class GlobalContext(nn.Module):
    """A map (B, I, H, W) -> gates (B, O, 1, 1) in (0, 1): the published skip-layer excitation.

    Positions are pooled with weights that the map itself gives (Cao et al. 2020, "Global Context
    Networks"), in place of the mean pooling of FastGAN.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        between = max(3, outputs // 2)
        self.to_weights = nn.Conv2d(inputs, 1, 1)
        self.gate = nn.Sequential(
            nn.Conv2d(inputs, between, 1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(between, outputs, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.to_weights(x).flatten(2).softmax(dim=2)  # (B, 1, H * W)
        pooled = x.flatten(2) @ weights.transpose(1, 2)  # (B, I, 1)
        return self.gate(pooled[..., None])


class Generator(nn.Module):
    """latent (B, L) -> image (B, C, D, D), D a power of two from 8 to 256; no final tanh.

    Batch norm runs on batch statistics in training and on running ones in evaluation. The noise
    comes from torch's global generator. Raises UserError for another size.
    """

    def __init__(self, image_size: int, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        settings.check(image_size)
        levels = int(math.log2(image_size))
        self.latent_dim = settings.latent_dim
        L = settings.latent_dim
        self.start = nn.Sequential(
            FromVector(L, 2 * L, 4), distributed.BatchNorm2d(2 * L), nn.GLU(dim=1)
        )
        self.attention = nn.ModuleDict()
        self.grow = nn.ModuleDict()
        self.excite = nn.ModuleDict()
        widths = {2: L}
        for n in range(2, levels):
            widths[n + 1] = min(2 ** (12 - n), settings.fmap_max)
            if 2**n in settings.attention:
                self.attention[str(n)] = DualAttention(widths[n], settings.heads, settings.head_dim)
            self.grow[str(n)] = GrowBlock(widths[n], widths[n + 1])
        for n in range(4, levels + 1 - EXCITATION_GAP):
            self.excite[str(n)] = GlobalContext(widths[n], widths[n + EXCITATION_GAP])
        self.levels = levels
        self.to_image = FewChannels(widths[levels], channels)
        self.apply(init_kaiming)

    def forward(self, z: Tensor) -> Tensor:
        x = self.start(z[:, :, None, None])
        x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
        gates: dict[int, Tensor] = {}
        for n in range(2, self.levels):
            if str(n) in self.attention:
                x = self.attention[str(n)](x)
            x = self.grow[str(n)](x)  # now 2^(n + 1) px wide
            if str(n + 1) in self.excite:
                gates[n + 1 + EXCITATION_GAP] = self.excite[str(n + 1)](x)
            if n + 1 in gates:
                x = x * gates[n + 1]
        return self.to_image(x)


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
