"""Memorisation check: how near a model's samples come to single training images, in features."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

MOST = 2000
"""Samples and training images whose distances are measured, at most."""
NEAREST = 2
"""Training images that are shown for each sample."""


def search(
    real: np.ndarray,
    fake: np.ndarray,
    real_images: np.ndarray | None,
    fake_images: np.ndarray,
    count: int,
) -> dict[str, np.ndarray]:
    """The nearest training images of samples, by Euclidean distance of features (N, d).

    samples (count, C, H, W) and nearest (count, 2, C, H, W): the first samples and their nearest
    training images, the latter only where `real_images` are given; distance (n,): from each of the first 2,000 samples to its nearest training
    image (NaN for a sample whose features are, which is shown above black images); real_distance
    (n,): from as many training images, evenly spread, to the nearest other
    one, which is what a fresh real image would show.
    """
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
