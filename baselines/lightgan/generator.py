"""LightGAN's generator, as published with the painters' code."""

import math

import torch
from torch import Tensor, nn

from baselines.lightgan.settings import GeneratorSettings
from fpa.common import distributed
from fpa.models.layers import LEAK, Blur, DualAttention, init_kaiming

EXCITATION_GAP = 4
"""Skip-layer excitation joins widths 2^n and 2^(n + 4): 8 -> 128, 16 -> 256."""


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
        self.upsample = nn.Upsample(scale_factor=2)
        self.blur = Blur()
        self.pad = nn.ZeroPad2d((2, 1, 2, 1))
        self.conv = nn.Conv2d(inputs, 2 * outputs, 4)
        self.noise = Noise()
        self.norm = distributed.BatchNorm2d(2 * outputs)
        self.glu = nn.GLU(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pad(self.blur(self.upsample(x))))
        return self.glu(self.norm(self.noise(x)))


class Excitation(nn.Module):
    """Skip-layer excitation (Liu et al. 2021): a small map gates the channels of a large one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(inputs, outputs, 4),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(outputs, outputs, 1),
            nn.Sigmoid(),
        )

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        return large * self.gate(small)


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
            nn.ConvTranspose2d(L, 2 * L, 4), distributed.BatchNorm2d(2 * L), nn.GLU(dim=1)
        )
        self.attention = nn.ModuleDict()
        self.grow = nn.ModuleDict()
        self.excite = nn.ModuleDict()
        widths = {2: L}
        for n in range(2, levels):
            widths[n + 1] = channels if n == 8 else min(2 ** (12 - n), settings.fmap_max)
            if 2**n in settings.attention:
                self.attention[str(n)] = DualAttention(widths[n], settings.heads, settings.head_dim)
            self.grow[str(n)] = GrowBlock(widths[n], widths[n + 1])
            if n + 1 - EXCITATION_GAP >= 3:
                small = n + 1 - EXCITATION_GAP
                self.excite[str(n)] = Excitation(widths[small], widths[n + 1])
        self.levels = levels
        self.to_image = nn.Conv2d(widths[levels], channels, 3, padding=1)
        self.apply(init_kaiming)

    def forward(self, z: Tensor) -> Tensor:
        x = self.start(z[:, :, None, None])
        x = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
        maps = {2: x}
        for n in range(2, self.levels):
            name = str(n)
            if name in self.attention:
                x = self.attention[name](x)
            x = self.grow[name](x)
            if name in self.excite:
                x = self.excite[name](maps[n + 1 - EXCITATION_GAP], x)
            maps[n + 1] = x
        return self.to_image(x)
