"""StyleGAN2's discriminator, residual or plain, with minibatch standard deviation."""

import math

import torch
from torch import Tensor, nn

from baselines.stylegan2_ada.generator import widths
from baselines.stylegan2_ada.layers import GAIN, Conv, Linear, activate
from fpa.core import distributed


class Block(nn.Module):
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
        self.blocks = nn.ModuleList(Block(wide[size], wide[size // 2], residual) for size in sizes)
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
