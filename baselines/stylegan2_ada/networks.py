"""StyleGAN2's networks: the generator, with mapping network, noise and skip outputs, and the
discriminator, residual or plain, with minibatch standard deviation."""

import math

import torch
from torch import Tensor, nn

from baselines.stylegan2_ada.layers import GAIN, Conv, Linear, activate, modulated, upsample
from fpa.core import distributed

MAPPING_RATE = 0.01


def widths(image_size: int, base: int, most: int) -> dict[int, int]:
    """Channels at each size from 4 px to the image's."""
    sizes = [2**n for n in range(2, int(math.log2(image_size)) + 1)]
    return {size: min(base // size, most) for size in sizes}


class Mapping(nn.Module):
    """Latents z (B, Z) -> w (B, W); keeps a running mean of w for truncation."""

    def __init__(self, latent_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        inputs = [latent_dim] + [w_dim] * (layers - 1)
        self.layers = nn.ModuleList(Linear(n, w_dim, rate=MAPPING_RATE, gain=GAIN) for n in inputs)
        self.w_average: Tensor
        self.register_buffer("w_average", torch.zeros(w_dim))

    def forward(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = activate(layer(x))
        return x

    @torch.no_grad()
    def follow(self, w: Tensor, decay: float) -> None:
        """Move the running mean towards these."""
        mean = distributed.all_reduce_mean(w.mean(0).to(self.w_average.dtype))
        self.w_average.copy_(mean.lerp(self.w_average, decay))


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias and leaky ReLU; by choice to twice the size."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, up: bool) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up = up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x, factors = modulated(x, self.weight, self.affine(w), self.up)
        noise = distributed.randn_like(x[:, :1]) * (self.noise_strength * GAIN)
        bias = (self.bias * GAIN)[:, None, None]
        return activate(torch.addcmul(bias, x, factors * GAIN) + noise)


class ToImage(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation."""

    def __init__(self, inputs: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weights = self.weight.flatten(1) * (self.affine(w) * self.scale)[:, None]  # (B, C, I)
        image = torch.baddbmm(self.bias[:, None], weights, x.flatten(2))
        return image.unflatten(2, x.shape[2:])


class SynthesisBlock(nn.Module):
    """One size: two convolutions (one at 4 px) and what it adds to the image."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, channels: int) -> None:
        super().__init__()
        self.first = StyledConv(inputs, outputs, w_dim, up=True) if inputs else None
        self.second = StyledConv(outputs, outputs, w_dim, up=False)
        self.to_image = ToImage(outputs, channels, w_dim)
        self.convolutions = 2 if inputs else 1

    def forward(self, x: Tensor, ws: Tensor) -> tuple[Tensor, Tensor]:
        """ws: (B, convolutions + 1, W) -> maps and this size's part of the image."""
        if self.first is not None:
            x = self.first(x, ws[:, 0])
        x = self.second(x, ws[:, self.convolutions - 1])
        return x, self.to_image(x, ws[:, self.convolutions])


class Synthesis(nn.Module):
    """w for every layer (B, L, W) -> images (B, C, H, W), about -1 to 1."""

    def __init__(self, image_size: int, channels: int, w_dim: int, base: int, most: int) -> None:
        super().__init__()
        wide = widths(image_size, base, most)
        self.constant = nn.Parameter(torch.randn(wide[4], 4, 4))
        blocks = [
            SynthesisBlock(wide.get(size // 2, 0), outputs, w_dim, channels)
            for size, outputs in wide.items()
        ]
        self.blocks = nn.ModuleList(blocks)
        self.convolutions = [block.convolutions for block in blocks]
        self.layers = sum(self.convolutions) + 1

    def forward(self, ws: Tensor) -> Tensor:
        x = self.constant.expand(len(ws), -1, -1, -1)
        image, at = x.new_zeros(()), 0
        for block, convolutions in zip(self.blocks, self.convolutions, strict=True):
            x, part = block(x, ws[:, at : at + convolutions + 1])
            image = part if at == 0 else upsample(image) + part
            at += convolutions
        return image


class Mixing(nn.Module):
    """The generator as it trains: every layer's w comes with the images, some from other latents.

    latents (B, Z), and from layer `start` on others (B, Z) -> images, about -1 to 1, w (B, L, W).
    """

    def __init__(self, generator: "Generator") -> None:
        super().__init__()
        self.mapping, self.synthesis = generator.mapping, generator.synthesis

    def forward(self, z: Tensor, others: Tensor | None, start: int) -> tuple[Tensor, Tensor]:
        w = self.mapping(z)
        layers = self.synthesis.layers
        ws = w[:, None].expand(-1, layers, -1)
        if others is not None:
            other = self.mapping(others)[:, None]
            ws = torch.cat([ws[:, :start], other.expand(-1, layers - start, -1)], dim=1)
        return self.synthesis(ws), ws


class Generator(nn.Module):
    """latents (B, Z) -> images (B, C, H, W) in about [0, 1], as fpa.models.interface asks.

    `truncation` below 1 draws w towards its mean: less variety, fewer accidents. Noise comes from
    torch's global generator, in evaluation as in training: the published metrics draw it too.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int,
        w_dim: int,
        mapping_layers: int,
        channel_base: int,
        channel_max: int,
        truncation: float = 1.0,
    ) -> None:
        super().__init__()
        self.latent_dim, self.truncation = latent_dim, truncation
        self.mapping = Mapping(latent_dim, w_dim, mapping_layers)
        self.synthesis = Synthesis(image_size, channels, w_dim, channel_base, channel_max)

    def styles(self, z: Tensor) -> Tensor:
        """w for every layer (B, L, W), truncated."""
        w = self.mapping(z)
        if self.truncation != 1:
            w = self.mapping.w_average.lerp(w, self.truncation)
        return w[:, None].expand(-1, self.synthesis.layers, -1)

    def forward(self, z: Tensor) -> Tensor:
        return (self.synthesis(self.styles(z)) + 1) / 2


class DiscriminatorBlock(nn.Module):
    """(B, I, H, W) -> (B, O, H/2, W/2)."""

    def __init__(self, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__()
        # Each branch carries half of the variance.
        half = math.sqrt(0.5) if residual else 1.0
        self.first = Conv(inputs, inputs, 3)
        self.second = Conv(inputs, outputs, 3, down=True, gain=half * GAIN)
        self.skip = Conv(inputs, outputs, 1, down=True, bias=False, gain=half) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.second(activate(self.first(x))))
        return y if self.skip is None else y + self.skip(x)


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """One more map (B, 1, H, W): how much samples differ within groups, averaged over everything.

    A group holds at most `group` samples of all processes, and every group the same number of them.
    """
    _, _, height, width = x.shape
    x = distributed.all_gather(x)
    batch = len(x)
    group = math.gcd(batch, group) if batch % min(group, batch) else min(group, batch)
    y = x.reshape(group, batch // group, *x.shape[1:])
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))  # (B / group,)
    return distributed.shard(y.repeat(group))[:, None, None, None].expand(-1, 1, height, width)


class Discriminator(nn.Module):
    """images (B, C, H, W), about -1 to 1 -> logits (B, 1)."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        channel_base: int,
        channel_max: int,
        deviation_group: int,
        residual: bool = True,
    ) -> None:
        super().__init__()
        wide = widths(image_size, channel_base, channel_max)
        self.from_image = Conv(channels, wide[image_size], 1)
        sizes = sorted((size for size in wide if size > 4), reverse=True)
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(wide[size], wide[size // 2], residual) for size in sizes
        )
        self.deviation_group = deviation_group
        self.convolution = Conv(wide[4] + 1, wide[4], 3)
        self.linear = Linear(wide[4] * 16, wide[4], gain=GAIN)
        self.output = Linear(wide[4], 1)

    def forward(self, images: Tensor, parts: int = 1) -> Tensor:
        """parts: of so many equal batches, one behind the other, that are judged by themselves."""
        x = activate(self.from_image(images))
        for block in self.blocks:
            x = block(x)
        deviations = [minibatch_deviation(part, self.deviation_group) for part in x.chunk(parts)]
        x = torch.cat([x, torch.cat(deviations)], dim=1)
        x = activate(self.convolution(x))
        x = activate(self.linear(x.flatten(1)))
        return self.output(x)
