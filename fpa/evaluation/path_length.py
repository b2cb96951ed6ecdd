"""Perceptual path length (Karras et al. 2019): how fast images change along paths between latents.

The mean of d(G(z_t), G(z_(t + ε))) / ε² over random starts, where d is LPIPS, as torch-fidelity computes
it: from one latent towards another by ε on a straight line, images at 64 px, the lowest and highest
percent left out. Images stay in floating point: in 8 bits most of so small a step is rounded away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import JsonValue

from fpa.core.errors import UserError
from fpa.core.lazy import torch
from fpa.evaluation.extractors import EXTRACTORS, PAIRS, ExtractorInfo
from fpa.evaluation.sampling import sample_latents

if TYPE_CHECKING:
    from torch import Tensor, nn

EPSILON = 1e-4
PERCENTILES = (1, 99)
"""Between which distances count."""
BATCH = 32


class PathLength(NamedTuple):
    mean: float
    error: float
    """Standard error of the mean over random paths"""
    n: int
    """Paths, those that are left out included"""

    @staticmethod
    def settings() -> dict[str, JsonValue]:
        return {"epsilon": EPSILON, "percentiles": list(PERCENTILES)}


def load_distance(described_in: str | Path, device: torch.device) -> nn.Module:
    """The network that compares images, such as LPIPS, from what `python -m fpa extractor` wrote.

    UserError where its weights are missing or were changed, or it is a network of another kind.
    """
    info = ExtractorInfo.read(described_in)
    network = EXTRACTORS.find(info.network, str(described_in))
    if PAIRS not in network.resizes:
        raise UserError(
            f"{described_in} describes {network.name}, which does not compare images in pairs; "
            "expected lpips_vgg16"
        )
    weights = {kind: info.checked_weights(kind, described_in) for kind in info.weights}
    return network.load_pairs(weights).to(device)


def path_lengths(
    generator: nn.Module,
    distance: Callable[[Tensor, Tensor], Tensor],
    starts: Tensor,
    ends: Tensor,
    epsilon: float = EPSILON,
) -> np.ndarray:
    """d(G(z), G(z')) / ε² of each pair of latents (N, L), where z' is ε of the way from start to end.

    generator: latents -> images (N, C, H, W) in [0, 1], C 1 or 3; distance: of two batches of images
    (N, 3, H, W) in [0, 255], (N,).
    """
    found = []
    with torch.inference_mode():
        for first in range(0, len(starts), BATCH):
            start, end = (z[first : first + BATCH] for z in (starts, ends))
            both = torch.cat([start, torch.lerp(start, end, epsilon)])
            images = 255 * generator(both).clamp(0, 1).expand(-1, 3, -1, -1)
            one, two = images.chunk(2)
            found.append((distance(one, two).flatten() / epsilon**2).cpu().numpy())
    return np.concatenate(found)


def summarise(lengths: np.ndarray) -> PathLength:
    """Mean and standard error of the lengths between the percentiles, both inclusive."""
    low = np.percentile(lengths, PERCENTILES[0], method="lower")
    high = np.percentile(lengths, PERCENTILES[1], method="higher")
    kept = lengths[(lengths >= low) & (lengths <= high)].astype(np.float64)
    error = kept.std(ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else np.nan
    return PathLength(float(kept.mean()), float(error), len(lengths))


def perceptual_path_length(
    generator: nn.Module,
    distance: Callable[[Tensor, Tensor], Tensor],
    latent_dim: int,
    count: int,
    seed: int,
    device: torch.device,
) -> PathLength:
    """The path length of `count` random paths in z; the same seed gives the same paths.

    Seeds torch's global generators, which noise inside a generator comes from as well.
    """
    latents = sample_latents(2 * count, latent_dim, seed).to(device)
    return summarise(path_lengths(generator, distance, latents[:count], latents[count:]))
