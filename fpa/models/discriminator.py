"""The LightGAN-style discriminator that every painter trains against."""

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from fpa.models.convolutions import FromImage, Pointwise, UpConv, WholeMap
from fpa.models.layers import LEAK, DualAttention, blur_or_identity, init_kaiming
from fpa.models.settings import DiscriminatorSettings


class DiscriminatorOutput(NamedTuple):
    """What the discriminator says of a batch."""

    logits: Tensor
    """(B,): of the full image; fakes are pushed up, reals down (published sign)."""
    view_logits: Tensor
    """(B,): of the small view."""
    reconstruction: Tensor | None
    """Scalar MSE of the decoder against the images, or None if it was not asked for."""

    def split(self, count: int) -> "tuple[DiscriminatorOutput, DiscriminatorOutput]":
        """Of the first `count` images, with the reconstruction, and of the others."""
        logits, views = self.logits, self.view_logits
        return (
            DiscriminatorOutput(logits[:count], views[:count], self.reconstruction),
            DiscriminatorOutput(logits[count:], views[count:], None),
        )


class TwoBranches(nn.Module):
    """Halve the size twice over and add: two convolutions, and a mean pool with a 1 x 1."""

    def __init__(self, inputs: int, outputs: int, blur: bool) -> None:
        super().__init__()
        self.blur = blur_or_identity(blur)
        # In the blur's published place stands nothing, so that parameters keep their names.
        self.convs = nn.Sequential(
            nn.Identity(),
            FromImage(inputs, outputs, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.LeakyReLU(LEAK),
        )
        self.pool = nn.Sequential(
            nn.Identity(),
            nn.AvgPool2d(2),
            Pointwise(inputs, outputs),
            nn.LeakyReLU(LEAK),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.blur(x)
        return self.convs(x) + self.pool(x)


class Discriminator(nn.Module):
    """image (B, C, D, D) in [0, 1] -> two logits a sample, and a reconstruction loss on request.

    Raises UserError for a size that is not a power of two from 16 to 256.
    """

    def __init__(
        self, image_size: int, channels: int, settings: DiscriminatorSettings, blur: bool = False
    ) -> None:
        super().__init__()
        settings.check(image_size)
        levels = int(math.log2(image_size))
        doublings = int(math.log2(settings.reconstruction_size / 8))
        self.view_size = settings.view_size
        self.reconstruction_size = settings.reconstruction_size

        def attention(width: int) -> nn.Module:
            return DualAttention(width, settings.heads, settings.head_dim)

        layers: list[nn.Module] = []
        inputs = channels
        for n in range(levels, 3, -1):
            outputs = min(2 ** (13 - n), settings.fmap_max)  # at width 2^(n-1)
            if 2**n in settings.attention:
                layers.append(attention(inputs))
            layers.append(TwoBranches(inputs, outputs, blur))
            inputs = outputs
        self.features = nn.Sequential(*layers)  # -> (B, inputs, 8, 8)
        self.to_logit = nn.Sequential(
            blur_or_identity(blur),
            nn.Conv2d(inputs, inputs, 3, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            WholeMap(inputs, 1, 4),
        )
        half = max(settings.view_width // 2, 1)
        self.view_to_logit = nn.Sequential(
            FromImage(channels, settings.view_width, 3, padding=1),
            attention(settings.view_width),
            TwoBranches(settings.view_width, half, blur),
            attention(half),
            nn.AdaptiveAvgPool2d(4) if settings.view_size > 8 else nn.Identity(),
            WholeMap(half, 1, 4),
        )
        # As above, for the published upsampling, which is part of the convolution.
        decoder: list[nn.Module] = []
        for i in range(doublings):
            outputs = 2 * channels if i == doublings - 1 else inputs
            decoder += [
                nn.Identity(),
                UpConv(inputs, outputs),
                nn.GLU(dim=1),
            ]
            inputs = outputs // 2
        self.decoder = nn.Sequential(*decoder)
        self.apply(init_kaiming)

    def forward(self, images: Tensor, reconstruct: int = 0) -> DiscriminatorOutput:
        """reconstruct: so many images, the first ones, are decoded and compared."""
        features = self.features(images)
        view = F.interpolate(images, size=self.view_size)
        reconstruction = None
        if reconstruct:
            target = F.interpolate(images[:reconstruct], size=self.reconstruction_size)
            reconstruction = F.mse_loss(self.decoder(features[:reconstruct]), target)
        return DiscriminatorOutput(
            self.to_logit(features).flatten(), self.view_to_logit(view).flatten(), reconstruction
        )
