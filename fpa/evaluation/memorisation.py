"""Whether samples are nearer to training images than real images are to each other.

A real image, held out of the search, is a fresh draw from what the model learns. If a model does
not copy, its samples' distances to the nearest training image are those of fresh draws, or larger.
How many samples lie below a small order statistic of the held-out distances then has a known
distribution, which needs no assumption about distances but that there are no ties.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fpa.core.errors import UserError
from fpa.core.lazy import np, stats

MOST = 2000
"""Samples and training images whose distances are measured, at most."""
NEAREST = 2
"""Training images that are shown for each sample."""
CLOSE = 0.01
"""The share of held-out images that are as near to a training image as what is called close."""
LEVEL = 0.001
"""p below which a model is said to copy: one false alarm in a thousand trainings."""
SAME = 1e-3
"""Distances below this share of the median are those of copies: features are rounded."""


def search(
    real: np.ndarray,
    fake: np.ndarray,
    real_images: np.ndarray | None,
    fake_images: np.ndarray,
    count: int,
) -> dict[str, np.ndarray]:
    """The nearest training images of samples, by Euclidean distance of features (N, d).

    samples (count, C, H, W) and nearest (count, 2, C, H, W): the first samples and their nearest
    training images, the latter only where `real_images` are given; distance (n,): from each of the
    first 2,000 samples to its nearest training image (NaN for a sample whose features are, which is
    shown above black images); real_distance (n,): from as many training images, evenly spread, to the
    nearest other one, which is what a fresh real image would show.
    """
    if len(real) < NEAREST or not np.isfinite(real).all():
        raise UserError(
            f"nearest images are looked for among {NEAREST} or more with finite features, found "
            f"{int(np.isfinite(real).all(axis=1).sum())} of {len(real)}"
        )
    # It takes a second to import.
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute").fit(real)
    fake = fake[:MOST]
    finite = np.isfinite(fake).all(axis=1)
    distance = np.full((len(fake), NEAREST), np.nan)
    place = np.zeros((len(fake), NEAREST), int)
    if finite.any():
        distance[finite], place[finite] = index.kneighbors(fake[finite])
    spread = np.unique(np.linspace(0, len(real) - 1, min(MOST, len(real))).round().astype(int))
    # Of a training image the nearest one is itself (or its duplicate); the second is another.
    among, _ = index.kneighbors(real[spread])
    count = min(count, len(fake))
    nearest = {}
    if real_images is not None:
        rows = enumerate(place[:count])
        shown = [np.asarray(real_images[row]) * finite[n].astype(np.uint8) for n, row in rows]
        nearest = {"nearest": np.stack(shown)}
    return {
        "samples": np.asarray(fake_images[:count]),
        **nearest,
        "distance": distance[:, 0].astype(np.float32),
        "real_distance": among[:, 1].astype(np.float32),
    }


class Memorisation(NamedTuple):
    """How many samples come close to training images."""

    share: float
    """Of the samples, nearer to a training image than all but the nearest CLOSE of held-out images"""
    low: float
    """Lower end of the share's one-sided 95% interval (Clopper & Pearson 1934)"""
    expected: float
    """The share of fresh draws"""
    closest: int
    """Samples nearer to a training image than every held-out image"""
    p: float
    """Of samples that are fresh draws; of both counts, corrected for two"""
    n_samples: int
    n_held_out: int

    @property
    def copies(self) -> bool:
        return self.p < LEVEL


def memorisation(distance: np.ndarray, held_out: np.ndarray) -> Memorisation | None:
    """The test, from the distance of each sample (n,) and of each held-out real image (m,) to the
    nearest training image. NaN distances are left out.

    None where nothing can be found: fewer than 1 / CLOSE images on either side, or as many copies
    among the real images that a copy is nothing new.
    """
    distance, held_out = (np.sort(x[np.isfinite(x)].astype(float)) for x in (distance, held_out))
    n, m = len(distance), len(held_out)
    if min(n, m) < 1 / CLOSE:
        return None
    rank = math.ceil(CLOSE * m)
    if held_out[rank - 1] <= SAME * np.median(held_out):
        return None
    counts = {j: int(np.searchsorted(distance, held_out[j - 1])) for j in {1, rank}}
    p = min(p_of_count(count, j, n, m) for j, count in counts.items())
    k = counts[rank]
    low = float(stats.beta.ppf(0.05, k, n - k + 1)) if k else 0.0
    return Memorisation(k / n, low, rank / m, counts[1], min(1.0, len(counts) * p), n, m)


def p_of_count(count: int, rank: int, n: int, m: int) -> float:
    """P that at least `count` of n samples lie below the rank-th smallest of m held-out values, all
    n + m drawn alike.

    They do if among the count + rank - 1 smallest of all there are at most rank - 1 held-out ones:
    a hypergeometric probability, whatever the distribution.
    """
    return float(stats.hypergeom.cdf(rank - 1, n + m, m, count + rank - 1)) if count else 1.0
