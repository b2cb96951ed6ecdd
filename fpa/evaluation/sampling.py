"""A generator and a seed -> images, the same ones for every way of running it."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fpa.common.files import atomic_path
from fpa.common.progress import Progress

CHUNK = 64
"""Images drawn from one seed; part of what a sample is, not a setting."""


class Purpose(Enum):
    """What a sample is for. Samples for different purposes share no latents, whatever their seeds."""

    SHOW = ()
    """To be scored and shown."""
    CHOOSE = (1,)
    """To choose the best checkpoint."""


def sample_latents(
    count: int, latent_dim: int, seed: int, chunk: int = 0, purpose: Purpose = Purpose.SHOW
) -> Tensor:
    """Latents (count, L) of one chunk of a sample; every chunk has another seed."""
    sequence = np.random.SeedSequence([seed, chunk], spawn_key=purpose.value)
    torch.manual_seed(sequence.generate_state(1)[0].item())
    return torch.randn(count, latent_dim)


def sample(
    generator: nn.Module,
    latent_dim: int,
    count: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """`count` images (count, C, H, W) uint8: clamped to [0, 1], times 255, rounded.

    Seeds torch's global generators, which noise inside a generator comes from as well.
    """
    chunks = sample_chunks(generator, latent_dim, count, seed, device)
    return np.concatenate(list(chunks))


@torch.inference_mode()
def sample_chunks(
    generator: nn.Module,
    latent_dim: int,
    count: int,
    seed: int,
    device: torch.device,
    purpose: Purpose = Purpose.SHOW,
) -> Iterator[np.ndarray]:
    """The same, chunk by chunk."""
    for chunk, start in enumerate(range(0, count, CHUNK)):
        # A short last chunk is the beginning of a whole one.
        z = sample_latents(CHUNK, latent_dim, seed, chunk, purpose).to(device)
        yield to_uint8(generator(z)[: min(CHUNK, count - start)])


def save(path: str | Path, chunks: Iterator[np.ndarray], count: int, progress: Progress) -> None:
    """Write images to a .npy file (count, C, H, W) uint8, chunk by chunk."""
    with atomic_path(path) as temporary:
        array, start = None, 0
        for images in chunks:
            if array is None:
                shape = (count, *images.shape[1:])
                array = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            array[start : start + len(images)] = images
            start += len(images)
            progress.update(len(images))
        if array is not None:
            array.flush()


def to_uint8(images: Tensor) -> np.ndarray:
    """Float images in [0, 1] -> uint8, as torchvision's save_image rounds (x * 255 + 0.5)."""
    return (images.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()
