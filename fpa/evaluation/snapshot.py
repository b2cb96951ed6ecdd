"""A few small images of a generator in training, of latents that are the same each time."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from fpa.evaluation import sampling

Snapshot = Callable[[nn.Module], np.ndarray]
"""EMA generator -> uint8 images (N, C, H, W) of latents that are the same each time."""

COUNT = 8
"""Images of a snapshot."""
LARGEST = 64
"""Height and width of a snapshot's images, at most; larger ones are averaged down."""


def snapshot(latent_dim: int, seed: int, device: torch.device) -> Snapshot:
    """A function from the EMA generator to its images (COUNT, C, H, W) uint8.

    seed: of the latents. Seeds torch's global generators, as sampling does.
    """

    @torch.inference_mode()
    def take(generator: nn.Module) -> np.ndarray:
        purpose = sampling.Purpose.FILM
        z = sampling.sample_latents(COUNT, latent_dim, seed, purpose=purpose).to(device)
        images = generator(z).clamp(0, 1).nan_to_num()
        size = tuple(min(side, LARGEST) for side in images.shape[2:])
        return sampling.to_uint8(adaptive_avg_pool2d(images, size))

    return take
