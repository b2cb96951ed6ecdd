"""What the discriminator sees of images, real and fake alike: flips, cut-outs and translations.

As in the paper's public code: with the given probability a whole batch is augmented; it is then
flipped with probability 1/2, and each of its images is cut and moved by itself, as in DiffAugment
(Zhao et al., NeurIPS 2020, section 3.3 and its public code: a square of half the image's width, moves
of up to an eighth). Everything can be differentiated twice.
"""

import torch
from torch import Tensor

from fpa.core import distributed
from fpa.core.transfer import to_device

FLIP = 0.5
CUTOUT, TRANSLATION = 0.5, 0.125
"""Of the image's width: the side of the square that is cut out, and the longest move."""


def augment(images: Tensor, probability: float, stacked: int = 1) -> Tensor:
    """Images (N, C, D, D), changed or as they are.

    stacked: so many images of each latent, one batch behind the other; several processes then draw
    what one would. Draws nothing where the probability is 0.
    """
    if not probability or torch.rand(()) >= probability:
        return images
    if torch.rand(()) < FLIP:
        images = images.flip(3)
    draws = distributed.rand(len(images) // stacked, stacked, 4)
    draws = to_device(draws.transpose(0, 1).flatten(0, 1), images.device)  # (N, 4)
    return translate(cut_out(images, draws[:, :2]), draws[:, 2:])


def cut_out(images: Tensor, where: Tensor) -> Tensor:
    """A square of zeros in each image, its centre anywhere. where: (N, 2) in [0, 1), row and column."""
    size = images.shape[-1]
    side = int(size * CUTOUT + 0.5)
    # An even side has its centre between pixels: one place more.
    first = (where * (size + 1 - side % 2)).long() - side // 2
    pixels = torch.arange(size, device=images.device)
    behind = pixels - first[..., None]  # (N, 2, D)
    inside = (behind >= 0) & (behind < side)
    return images * ~(inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def translate(images: Tensor, where: Tensor) -> Tensor:
    """Each image moved, zeros behind it. where: (N, 2) in [0, 1), down and to the right."""
    size = images.shape[-1]
    most = int(size * TRANSLATION + 0.5)
    moves = (where * (2 * most + 1)).long() - most
    source = torch.arange(size, device=images.device) + moves[..., None]  # (N, 2, D)
    there = (source >= 0) & (source < size)
    source = source.clamp(0, size - 1)
    number = torch.arange(len(images), device=images.device)[:, None, None]
    # The indexed dimensions come first: (N, D, D, C).
    moved = images[number, :, source[:, 0, :, None], source[:, 1, None, :]].permute(0, 3, 1, 2)
    return moved * (there[:, 0, :, None] & there[:, 1, None, :])[:, None]
