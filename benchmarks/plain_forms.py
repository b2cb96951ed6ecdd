"""Plain forms of what the networks compute in faster ways: each as its definition reads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.stylegan2_ada import augment
from baselines.stylegan2_ada import layers as stylegan2
from baselines.stylegan2_ada.layers import BLUR, resample
from baselines.stylegan2_ada.networks import Discriminator as StyleDiscriminator
from fpa.models import convolutions
from fpa.models.convolutions import FewChannels, FromImage, FromVector, UpConv, WholeMap
from fpa.models.discriminator import Discriminator, DiscriminatorOutput
from fpa.models.layers import Blur, DualAttention
from fpa.models.learning_rules import DeltaRule, RuleOutput, delta_loop
from fpa.models.unet import HEAD_DIM, HEADS, Attention


def local_attention(self: DualAttention, x: Tensor) -> Tensor:
    """Every neighbourhood of keys and values unfolded."""
    B, _, H, W = x.shape
    q = self.local_q(x).reshape(B, self.heads, -1, 1, H * W) * self.scale
    k, v = (
        F.unfold(m, 3, padding=1).reshape(B, self.heads, -1, 9, H * W)
        for m in self.local_kv(x).chunk(2, dim=1)
    )
    weights = (q * k).sum(2, keepdim=True).softmax(dim=3)
    return (weights * v).sum(3).reshape(B, -1, H, W)


def linear_attention(self: DualAttention, x: Tensor) -> Tensor:
    """With values at every position."""
    B, _, H, W = x.shape
    q, k, v = (
        m.reshape(B, self.heads, -1, H * W)
        for m in (self.linear_q(x), *self.linear_kv(x).chunk(2, dim=1))
    )
    q, k = q.softmax(dim=2) * self.scale, k.softmax(dim=3)
    return F.gelu(((v @ k.transpose(2, 3)) @ q).reshape(B, -1, H, W))


def unet_attention(self: Attention, x: Tensor) -> Tensor:
    """The same in the U-Net."""
    B, _, H, W = x.shape
    q, k, v = self.qkv(x).reshape(B, 3, HEADS, HEAD_DIM, H * W).unbind(1)
    q, k = q.softmax(dim=2) * HEAD_DIM**-0.5, k.softmax(dim=3)
    return self.out(((v @ k.transpose(2, 3)) @ q).reshape(B, -1, H, W))


def blur(self: Blur, x: Tensor) -> Tensor:
    """A depthwise convolution of the enlarged and reflected map."""
    x = F.interpolate(x, scale_factor=self.scale)
    line = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])
    return F.pad(x, self.padding * 2)


def smooth(x: Tensor, padding: int, down: int = 1) -> Tensor:
    """A matrix product along each axis."""
    return resample(x, BLUR, down=down, padding=(padding, padding))


def change_all(
    change: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    drawn: Tensor,
    neutral: Sequence[float],
) -> Tensor:
    """Images augmented by neutral numbers as well."""
    return change(images, drawn)


def upsampled_convolution(self: UpConv, x: Tensor) -> Tensor:
    """The map enlarged, then the convolution."""
    return F.conv2d(F.interpolate(x, scale_factor=2), self.weight, self.bias, padding=1)


def convolution(self: nn.Conv2d, x: Tensor) -> Tensor:
    """As torch computes it."""
    return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


WRITE = DeltaRule.write


def write_in_turn(self: DeltaRule, *inputs: Tensor | None) -> RuleOutput:
    """The delta rule one step after another."""
    with patch.object(self, "_write", delta_loop):
        return WRITE(self, *inputs)


JUDGE = Discriminator.forward


def judge_apart(self: Discriminator, images: Tensor, reconstruct: int = 0) -> DiscriminatorOutput:
    """Real and fake images in a pass each."""
    if not 0 < reconstruct < len(images):
        return JUDGE(self, images, reconstruct)
    real = JUDGE(self, images[:reconstruct], reconstruct)
    fake = JUDGE(self, images[reconstruct:])
    return DiscriminatorOutput(
        torch.cat([real.logits, fake.logits]),
        torch.cat([real.view_logits, fake.view_logits]),
        real.reconstruction,
    )


STYLE_JUDGE = StyleDiscriminator.forward


def style_judge_apart(self: StyleDiscriminator, images: Tensor, parts: int = 1) -> Tensor:
    """The same in StyleGAN2-ADA."""
    return torch.cat([STYLE_JUDGE(self, part) for part in images.chunk(parts)])


@contextmanager
def plain_forms() -> Iterator[None]:
    """All of them in place of the faster ones."""
    with ExitStack() as stack:
        for owner, name, form in (
            (DualAttention, "_local", local_attention),
            (DualAttention, "_linear", linear_attention),
            (Attention, "_linear", unet_attention),
            (Blur, "forward", blur),
            (DeltaRule, "write", write_in_turn),
            (Discriminator, "forward", judge_apart),
            (stylegan2, "smooth", smooth),
            (augment, "drawn_only", change_all),
            (StyleDiscriminator, "forward", style_judge_apart),
            (UpConv, "forward", upsampled_convolution),
            (FewChannels, "forward", convolution),
            (convolutions, "SMALL", 0),
            (WholeMap, "forward", convolution),
            (FromImage, "forward", convolution),
            (FromVector, "forward", nn.ConvTranspose2d.forward),
        ):
            stack.enter_context(patch.object(owner, name, form))
        yield
