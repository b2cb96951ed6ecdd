"""Improved precision and recall (Kynkäänniemi et al. 2019), block by block.

A set of images covers the balls around its features that reach to the third nearest feature of the
set. Precision is the share of generated images that real ones cover, recall the share of real
images that generated ones cover. Both depend on the number of images, so there are as many real
ones as generated ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fpa.core.errors import UserError
from fpa.core.files import load_arrays, save_npz
from fpa.core.lazy import np
from fpa.evaluation.protocols import MOST_COVERED

if TYPE_CHECKING:
    from fpa.evaluation.features import FeatureInfo

NEIGHBOURS = 3
"""k of the k-th nearest neighbour, as in the paper."""
BLOCK = 1000
"""Rows of distances that are held at once."""
SAME = ("extractor", "weights_sha256", "resize", "format", "images_sha256", "stages")
"""What the description of features says of where they come from."""


class Manifold(NamedTuple):
    """The manifold of a set of images, as the paper estimates it: balls around their features."""

    centres: np.ndarray
    """(n, d) float64"""
    radii: np.ndarray
    """(n,): from each centre to the third nearest other one"""


def manifold(centres: np.ndarray) -> Manifold:
    """The manifold of features (n, d); UserError for fewer than four."""
    if len(centres) <= NEIGHBOURS:
        raise UserError(f"precision and recall need {NEIGHBOURS + 1} images, found {len(centres)}")
    centres = centres.astype(np.float64)
    radii = []
    for start in range(0, len(centres), BLOCK):
        block = _squared_distances(centres[start : start + BLOCK], centres)
        # A centre is no neighbour of its own.
        block[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        radii.append(np.partition(block, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1])
    return Manifold(centres, np.sqrt(np.concatenate(radii)))


def share_inside(features: np.ndarray, of: Manifold) -> float:
    """The share of features (n, d) that lie in at least one ball of a manifold."""
    squares, count = np.square(of.radii), 0
    for start in range(0, len(features), BLOCK):
        block = _squared_distances(features[start : start + BLOCK].astype(np.float64), of.centres)
        count += int((block <= squares).any(axis=1).sum())
    return count / len(features)


def precision_recall(real: Manifold, fake: np.ndarray) -> tuple[float, float]:
    """Precision and recall of generated images, from features (n, d) of either."""
    return share_inside(fake, real), share_inside(real.centres, manifold(fake))


def _squared_distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (n, m) of rows (n, d) and (m, d)."""
    squares = [np.einsum("nd,nd->n", rows, rows) for rows in (one, two)]
    found = one @ two.T
    found *= -2
    found += squares[0][:, None]
    found += squares[1]
    return np.maximum(found, 0, out=found)


def images(n_real: int, n_fake: int) -> int:
    """Images on either side."""
    return min(n_real, n_fake, MOST_COVERED)


def subset(count: int, most: int, seed: int) -> np.ndarray:
    """The places of at most so many of `count` images, drawn at random, in their order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def real_subset(features: np.ndarray, most: int, seed: int) -> Manifold:
    """The manifold of a random subset of real images, from features (N, d) of all."""
    return manifold(features[subset(len(features), most, seed)])


def save_real(
    path: str | Path, features: np.ndarray, info: FeatureInfo, most: int, seed: int
) -> None:
    """Write the places and radii of `real_subset` to an .npz file.

    info: what describes the features, for `load_real` to compare. UserError for fewer than four, and
    for features that are not finite.
    """
    if not np.isfinite(features).all():
        raise UserError("the features of real images are not all finite; make them again")
    rows = subset(len(features), most, seed)
    radii = manifold(features[rows]).radii
    save_npz(path, rows=rows, radii=radii, about=np.array(_identity(info)))


def load_real(path: str | Path, features: np.ndarray, info: FeatureInfo) -> Manifold:
    """What `save_real` wrote of these features; UserError when it was of others."""
    with load_arrays(path) as found:
        if not {"about", "rows", "radii"} <= {*found}:
            raise UserError(f"{path} holds no radii; python -m fpa radii makes them")
        if str(found["about"]) != _identity(info):
            raise UserError(f"{path} holds radii of other features; delete it and run again")
        return Manifold(features[found["rows"]].astype(np.float64), found["radii"])


def _identity(info: FeatureInfo) -> str:
    described = info.as_json()
    return json.dumps({key: described.get(key) for key in SAME}, sort_keys=True)
