"""CMMD (Jayasumana et al. 2024): the maximum mean discrepancy of unit vectors by a Gaussian kernel.

MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y), with k(a, b) = exp(-|a - b|² / (2 σ²)). The estimate is the
unbiased one (Gretton et al. 2012, lemma 6), in which no image meets itself. The authors' code keeps
these pairs, which adds at most 1 / n to each mean.
"""

import numpy as np

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.extrapolation import jackknife

SIGMA = 10.0
"""The published bandwidth."""
SCALE = 1000.0
"""The published factor, part of what is called CMMD."""
BLOCK = 1000
"""Rows of the kernel that are held at once."""


def cmmd(real: np.ndarray, fake: np.ndarray, groups: int, seed: int) -> Estimate:
    """CMMD of features (n, d) and (m, d), n and m at least 2, with its standard error.

    Error: a jackknife that leaves out one of `groups` random groups of samples at a time; NaN where a
    group has fewer than 2. The real images are a fixed set.
    """
    x, y = unit(real), unit(fake)
    n, m = len(x), len(y)
    each = groups if m >= 2 * groups else 1
    group = np.random.default_rng(seed).permutation(m) * each // m
    sizes = np.bincount(group, minlength=each)
    within_real = (_sums(x, x, np.zeros(n, int), np.zeros(n, int)).item() - n) / (n * (n - 1))
    # Sums over pairs of groups; an image meets itself on the diagonal.
    among = _sums(y, y, group, group) - np.diag(sizes)
    across = _sums(x, y, np.zeros(n, int), group)[0]

    def value(among: float, across: float, m: int) -> float:
        return SCALE * (within_real + among / (m * (m - 1)) - 2 * across / (n * m))

    whole = value(among.sum(), across.sum(), m)
    if each == 1:
        return Estimate(whole, np.nan)
    without = [
        value(
            among.sum() - 2 * among[g].sum() + among[g, g],
            across.sum() - across[g],
            m - sizes[g],
        )
        for g in range(each)
    ]
    return Estimate(whole, jackknife(without))


def unit(features: np.ndarray) -> np.ndarray:
    """Features (n, d), each divided by its length."""
    features = features.astype(np.float64)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _sums(x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray) -> np.ndarray:
    """Sums (G, H) of the kernel of unit vectors over groups of rows; |a - b|² = 2 - 2 a b."""
    found = np.zeros((of_x.max() + 1, of_y.max() + 1))
    columns = np.eye(found.shape[1])[of_y]
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        kernel = np.exp((x[block] @ y.T - 1) / SIGMA**2)
        np.add.at(found, of_x[block], kernel @ columns)
    return found
