"""Images between two latents."""

import numpy as np
import torch
from torch import Tensor, nn

from fpa.evaluation.sampling import CHUNK, sample_latents, to_uint8


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Latents (R, L) on the great circles from `start` (R, L) to `end`: normal ones stay typical.

    Spherical interpolation as in White, "Sampling Generative Networks" (2016).
    """
    cosine = nn.functional.cosine_similarity(start, end, dim=1).clamp(-1, 1)
    angle = cosine.acos()[:, None]
    # Parallel latents leave no circle; the straight line is the limit.
    straight = angle.sin().abs() < 1e-6
    divisor = torch.where(straight, 1.0, angle.sin())
    first = torch.where(straight, 1 - share, ((1 - share) * angle).sin() / divisor)
    second = torch.where(straight, share, (share * angle).sin() / divisor)
    return first * start + second * end


@torch.inference_mode()
def interpolate(
    generator: nn.Module, latent_dim: int, rows: int, frames: int, seed: int, device: torch.device
) -> np.ndarray:
    """uint8 images (rows, frames, C, H, W) between pairs of the sample's first latents."""
    # Whole chunks, so that a pair does not change with the number of rows.
    chunks = [sample_latents(CHUNK, latent_dim, seed, i) for i in range(-(-2 * rows // CHUNK))]
    pairs = torch.cat(chunks)[: 2 * rows].unflatten(0, (rows, 2)).to(device)
    images = []
    for share in np.linspace(0, 1, frames):
        # Noise inside a generator is the same in every frame: only the latent moves.
        torch.manual_seed(seed)
        images.append(to_uint8(generator(slerp(pairs[:, 0], pairs[:, 1], float(share)))))
    return np.stack(images, axis=1)
