"""The Fréchet distance between two sets of features.

Everything about it follows from moments, which are gathered in one pass over a set and added: memory
does not grow with the number of images.
"""

import warnings
from typing import Literal, NamedTuple

import numpy as np

BLOCK = 4096
"""Rows that are read at once."""
NULL = 1e-13
"""What is below this share of a covariance's largest entry or eigenvalue is a rounding error."""

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
    # Singular: fewer images than features, or features that never vary. Pivoted, the factorisation
    # ends where nothing is left, after r rows: far sooner than all eigenvalues are known.
    from scipy.linalg.lapack import dpstrf

    upper, order, rank, _ = dpstrf(covariance, tol=NULL * covariance.diagonal().max())
    factor = np.empty((rank, len(covariance)))
    factor[:, order - 1] = np.triu(upper)[:rank]
    return factor


def frechet(one: Gaussian, two: Gaussian, method: Method = "symmetric") -> float:
    """Fréchet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).

    symmetric: with S1 = F^T F and S2 = G^T G the last trace is the sum of the singular values of
    F G^T: exact, real for any n, and several times faster than a square root of S1 S2.
    clean_fid: clean-fid's function.
    """
    if method == "clean_fid":
        # clean-fid imports torch and torchvision, which takes seconds.
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
