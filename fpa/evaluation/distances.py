"""Fréchet and kernel distances between two sets of features.

Everything about the Fréchet distance follows from moments, which are gathered in one pass over a
set and added: memory does not grow with the number of images.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np

from fpa.evaluation.estimate import Estimate

BLOCK = 4096
"""Rows that are read at once."""
NULL = 1e-13
"""Eigenvalues of a covariance below this share of the largest are rounding errors."""

Method = Literal["symmetric", "clean_fid"]


class Sums(NamedTuple):
    """Moments of a set of features about a common point, ready to be added and subtracted."""

    n: int
    first: np.ndarray
    """Sum of x - shift, (d,)"""
    second: np.ndarray
    """Sum of (x - shift)(x - shift)^T, (d, d)"""

    def __add__(self, other: "Sums") -> "Sums":  # type: ignore[override]
        return Sums(self.n + other.n, self.first + other.first, self.second + other.second)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.n - other.n, self.first - other.first, self.second - other.second)


class Gaussian(NamedTuple):
    """Mean and covariance of a set of features, the covariance as F^T F."""

    mean: np.ndarray
    """(d,)"""
    covariance: np.ndarray
    """(d, d)"""
    factor: np.ndarray
    """F, (r, d): r is the rank of the covariance"""


def sums(features: np.ndarray, shift: np.ndarray, rows: np.ndarray | None = None) -> Sums:
    """Moments of features (N, d), or of some rows of them, about `shift` (d,), block by block."""
    n = len(features) if rows is None else len(rows)
    d = features.shape[1]
    first, second = np.zeros(d), np.zeros((d, d))
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        centred = features[block if rows is None else rows[block]].astype(np.float64) - shift
        first += centred.sum(axis=0)
        second += centred.T @ centred
    return Sums(n, first, second)


def origin(features: np.ndarray) -> np.ndarray:
    """A point (d,) amid the features: moments about it lose no digits."""
    return features[:BLOCK].astype(np.float64).mean(axis=0)


def gaussian(moments: Sums, shift: np.ndarray) -> Gaussian:
    """Mean, unbiased covariance, and a factor of it; any n from 2 on will do."""
    mean = moments.first / moments.n
    covariance = (moments.second - moments.n * np.outer(mean, mean)) / (moments.n - 1)
    return from_covariance(mean + shift, covariance, moments.n)


def from_covariance(mean: np.ndarray, covariance: np.ndarray, n: int) -> Gaussian:
    """The same from the mean (d,) and covariance (d, d) of n features."""
    return Gaussian(mean, covariance, _factor(covariance, n))


def _factor(covariance: np.ndarray, n: int) -> np.ndarray:
    if n > len(covariance):
        try:
            return np.linalg.cholesky(covariance).T
        except np.linalg.LinAlgError:
            pass
    # Singular: fewer images than features, or features that never vary.
    values, vectors = np.linalg.eigh(covariance)
    kept = values > NULL * max(values[-1], 0)
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def frechet(one: Gaussian, two: Gaussian, method: Method = "symmetric") -> float:
    """Fréchet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).

    symmetric: with S1 = F^T F and S2 = G^T G the last trace is the sum of the singular values of
    F G^T: exact, real for any n, and several times faster than a square root of S1 S2.
    clean_fid: clean-fid's function.
    """
    if method == "clean_fid":
        # Here and below: clean-fid imports torch and torchvision, which takes seconds.
        from cleanfid import fid as clean
        from scipy.linalg import LinAlgWarning

        with warnings.catch_warnings():
            # Fewer images than features make a covariance singular: its square root is still the
            # right one here, as the tests show against the other method.
            warnings.simplefilter("ignore", LinAlgWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return float(clean.frechet_distance(one.mean, one.covariance, two.mean, two.covariance))
    gap = one.mean - two.mean
    cross = np.linalg.svd(one.factor @ two.factor.T, compute_uv=False).sum()
    return float(gap @ gap + np.trace(one.covariance) + np.trace(two.covariance) - 2 * cross)


def frechet_of(real: np.ndarray, fake: np.ndarray, method: Method = "symmetric") -> float:
    """Fréchet distance of two feature sets (N, d)."""
    shift = origin(real)
    one, two = (gaussian(sums(features, shift), shift) for features in (real, fake))
    return frechet(one, two, method)


def kernel_estimate(
    real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, groups: int, seed: int
) -> Estimate:
    """KID (not times 1000) by clean-fid's function with its standard error.

    The error has two parts: the standard error of the mean over disjoint groups of samples, each
    scored against all real images (KID is unbiased for any number of samples), and that of the mean
    over the random subsets that the value is computed from.
    """
    each = kernels(real, fake, subsets, subset_size, seed)
    value = float(each.mean())
    rows = np.array_split(np.random.default_rng(seed).permutation(len(fake)), groups)
    if len(rows[-1]) < 2 or subsets < 2:
        return Estimate(value, np.nan)
    of_groups = [
        kernel(real, fake[np.sort(group)], subsets, subset_size, seed + g)
        for g, group in enumerate(rows)
    ]
    errors = [np.std(values, ddof=1) / np.sqrt(len(values)) for values in (of_groups, each)]
    return Estimate(value, float(np.hypot(*errors)))


def kernel(real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, seed: int) -> float:
    """KID (not times 1000) by clean-fid's function, its random subsets seeded."""
    return float(kernels(real, fake, subsets, subset_size, seed).mean())


def kernels(
    real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, seed: int
) -> np.ndarray:
    """The same of each subset, (subsets,): the subsets that one call of clean-fid would draw."""
    from cleanfid import fid as clean

    one, two = _Doubles(real), _Doubles(fake)
    with _numpy_seed(seed):
        return np.array([clean.kernel_distance(one, two, 1, subset_size) for _ in range(subsets)])


class _Doubles:
    """Features as clean-fid's KID takes them, in double precision only where it looks."""

    def __init__(self, features: np.ndarray) -> None:
        self.features, self.shape = features, features.shape

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.features[rows].astype(np.float64)


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """clean-fid draws from NumPy's global generator: seed it, and put it back."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
