"""The adversarial losses of the painters' recipe, with the published sign: real down, fake up."""

import torch
from torch import Tensor

from fpa.models.discriminator import DiscriminatorOutput


def d_hinge(real: DiscriminatorOutput, fake: DiscriminatorOutput, pooled: bool = False) -> Tensor:
    """mean(relu(1 + D(real))) + mean(relu(1 - D(fake))), summed over the two logits. Scalar.

    pooled: one mean over all real and fake images together, as published for the U-Net stage and
    for losses on partial images: for as many fake as real images, half as much.
    """

    def loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        parts = (1 + real_logits).relu(), (1 - fake_logits).relu()
        if pooled:
            return torch.cat(parts).mean()
        return parts[0].mean() + parts[1].mean()

    return loss(real.logits, fake.logits) + loss(real.view_logits, fake.view_logits)


def g_loss(fake: DiscriminatorOutput) -> Tensor:
    """mean D(fake), summed over the two logits: the generator pushes its images down. Scalar."""
    return fake.logits.mean() + fake.view_logits.mean()


def gradient_penalty(
    images: Tensor, judgement: DiscriminatorOutput, weight: float = 10.0
) -> Tensor:
    """weight * mean((||d (sum of both logits) / d images|| - 1)^2) over the batch. Scalar.

    `images` must require gradients and `judgement` come from them; the norm is over one image.
    """
    (gradient,) = torch.autograd.grad(
        judgement.logits.sum() + judgement.view_logits.sum(), images, create_graph=True
    )
    return weight * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
