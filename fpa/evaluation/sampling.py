"""A generator and a seed -> images, the same ones for every way of running it."""

import numpy as np
import torch
from torch import Tensor, nn

from fpa.progress import Progress

CHUNK = 64
"""Images drawn from one seed; part of what a sample is, not a setting."""


def sample_latents(count: int, latent_dim: int, seed: int, chunk: int = 0) -> Tensor:
    """Latents (count, L) of one chunk of a sample; each chunk has its own seed."""
    torch.manual_seed(np.random.SeedSequence([seed, chunk]).generate_state(1)[0].item())
    return torch.randn(count, latent_dim)


@torch.inference_mode()
def sample(
    generator: nn.Module,
    latent_dim: int,
    count: int,
    seed: int,
    device: torch.device,
    progress: Progress | None = None,
) -> np.ndarray:
    """`count` images (count, C, H, W) uint8: clamped to [0, 1], times 255, rounded.

    Seeds torch's global generators, which noise inside a generator comes from as well.
    """
    images = []
    for chunk, start in enumerate(range(0, count, CHUNK)):
        n = min(CHUNK, count - start)
        # A short last chunk is the beginning of a whole one.
        z = sample_latents(CHUNK, latent_dim, seed, chunk).to(device)
        images.append(to_uint8(generator(z)[:n]))
        if progress:
            progress.update(n)
    return np.concatenate(images)


def to_uint8(images: Tensor) -> np.ndarray:
    """Float images in [0, 1] -> uint8, as torchvision's save_image rounds (x * 255 + 0.5)."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()
