"""The Fréchet distance between two sets of features, its sampling error, and its limit.

Everything about it follows from moments, which are gathered in one pass over a set: memory
does not grow with the number of images. For the error and the limit for infinitely many samples, these
are split at random into groups, and moments of the groups are added in different ways. The real images
are a fixed set: no error here is about them.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from typing import Literal, NamedTuple

from fpa.core.errors import UserError
from fpa.core.lazy import linalg, np

BLOCK = 4096
"""Rows that are read at once."""
NULL = 1e-13
"""What is below this share of a covariance's largest entry or eigenvalue is a rounding error."""
SAME = 1e-5
"""Features that differ by less than this share of the largest are those of one image."""
SAMPLES_PER_FEATURE = 4
"""Samples for each dimension of the features without which there is no limit: the halves of fewer
samples leave the range in which the bias is a quadratic in 1/n."""
QUARTERS = 4

Method = Literal["symmetric", "clean_fid"]


class Estimate(NamedTuple):
    """A number and its standard error, NaN where that is unknown."""

    value: float
    error: float


class Gaussian(NamedTuple):
    """Mean and covariance of a set of features, the covariance as F^T F."""

    mean: np.ndarray
    """(d,)"""
    covariance: np.ndarray
    """(d, d)"""
    factor: np.ndarray
    """F, (r, d): r is the rank of the covariance"""


def check_varied(features: np.ndarray) -> None:
    """UserError where real images, of features (N, d), are one image again and again.

    But for rounding, which is another in batches of other sizes. The first block that differs ends it.
    """
    allowed = SAME * np.abs(features[0]).max(initial=0)
    if all(
        (np.abs(features[start : start + BLOCK] - features[0]) <= allowed).all()
        for start in range(0, len(features), BLOCK)
    ):
        raise UserError(
            f"the features of all {len(features):,} real images are the same, as of one image again "
            "and again: no distance from them says anything; look at the images, or take others"
        )


def origin(features: np.ndarray) -> np.ndarray:
    """A point (d,) amid the features: moments about it lose no digits."""
    return features[:BLOCK].astype(np.float64).mean(axis=0)


def gaussian(features: np.ndarray, shift: np.ndarray | None = None) -> Gaussian:
    """Mean and unbiased covariance of features (N, d), N from 2 on, in one pass.

    shift: the point (d,) about which moments are taken, one amid these features if it is not given.
    """
    n, d = features.shape
    shift = origin(features) if shift is None else shift
    first, second = np.zeros(d), np.zeros((d, d))
    for start in range(0, n, BLOCK):
        centred = features[start : start + BLOCK].astype(np.float64) - shift
        first += centred.sum(axis=0)
        second += centred.T @ centred
    mean = first / n
    covariance = (second - n * np.outer(mean, mean)) / (n - 1)
    return from_covariance(mean + shift, covariance, n)


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
    upper, order, rank, _ = linalg.lapack.dpstrf(covariance, tol=NULL * covariance.diagonal().max())
    factor = np.empty((rank, len(covariance)))
    factor[:, order - 1] = np.triu(upper)[:rank]
    return factor


def samples_for_limit(features: int, groups: int) -> int:
    """Samples from which on there is a limit: 4 for each of the features, 2 in each quarter of a group."""
    return max(SAMPLES_PER_FEATURE * features, 2 * QUARTERS * groups)


def frechet(one: Gaussian, two: Gaussian, method: Method = "symmetric") -> float:
    """Fréchet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).

    symmetric: with S1 = F^T F and S2 = G^T G the last trace is the sum of the singular values of
    F G^T: exact, real for any n, and several times faster than a square root of S1 S2.
    clean_fid: clean-fid's function.
    """
    if method == "clean_fid":
        # clean-fid imports torch and torchvision, which takes seconds.
        from cleanfid import fid as clean

        with warnings.catch_warnings():
            # Fewer images than features make a covariance singular: its square root is still the
            # right one here, as the tests show against the other method.
            warnings.simplefilter("ignore", linalg.LinAlgWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return float(clean.frechet_distance(one.mean, one.covariance, two.mean, two.covariance))
    gap = one.mean - two.mean
    cross = np.linalg.svd(one.factor @ two.factor.T, compute_uv=False).sum()
    return float(gap @ gap + np.trace(one.covariance) + np.trace(two.covariance) - 2 * cross)


def frechet_of(real: np.ndarray, fake: np.ndarray, method: Method = "symmetric") -> float:
    """Fréchet distance of two feature sets (N, d)."""
    return frechet(gaussian(real), gaussian(fake, origin(real)), method)


class Moments(NamedTuple):
    """What the distance of a set of samples from a reference follows from, ready to be added.

    With the reference's mean m and covariance F^T F, about the point m:
    """

    n: int
    first: np.ndarray
    """Sum of x - m, (d,)"""
    square: float
    """Sum of |x - m|^2"""
    projected: np.ndarray
    """Sum of y y^T for y = F (x - m), (r, r)"""


def frechet_estimates(
    real: np.ndarray,
    fake: np.ndarray,
    groups: int,
    seed: int,
    method: Method = "symmetric",
    reference: Gaussian | None = None,
) -> tuple[Estimate, Estimate | None]:
    """Fréchet distance of two feature sets (N, d) with its standard error, and its limit.

    See `estimates_from`. method: of the distance itself. reference: the moments to take in place of
    those of `real`, where that is only a part of the real images.
    """
    reference = reference or gaussian(real)
    value = frechet(reference, gaussian(fake, origin(real)), method)
    fid, limit = estimates_from(reference, fake, groups, seed)
    return Estimate(value, fid.error), limit


def estimates_from(
    reference: Gaussian, fake: np.ndarray, groups: int, seed: int
) -> tuple[Estimate, Estimate | None]:
    """Fréchet distance of samples (N, d) with its standard error, and its limit for N to infinity.

    Error of either: a jackknife that leaves out one of `groups` random groups of samples at a
    time. A 90% interval takes Student's t with groups - 1 degrees of freedom. NaN where a group
    has fewer than 2 samples.

    Limit: the intercept of a quadratic in 1/n through the distances of all samples, of three
    quarters and of halves of them. Chong & Forsyth (2020) fit a line, whose intercept is too low
    by the curvature (docs/evaluation.md says how much). None for fewer than 4 samples a
    feature, or 2 in each quarter of a group.
    """
    n = len(fake)
    if n < 2 * groups:
        return Estimate(distance(reference, moments(fake, np.arange(n), reference)), np.nan), None
    has_limit = n >= samples_for_limit(fake.shape[1], groups)
    # Each group is in quarters, so that halves of the samples hold a half of every group.
    pieces = QUARTERS if has_limit else 1
    rows = np.array_split(np.random.default_rng(seed).permutation(n), groups * pieces)
    parts = [moments(fake, np.sort(some), reference) for some in rows]

    def both(parts: Sequence[Moments]) -> tuple[float, float]:
        quarters = [add(parts[q::pieces]) for q in range(pieces)]
        whole = distance(reference, add(quarters))
        return whole, intercept(reference, quarters) if has_limit else np.nan

    values = both(parts)
    without = [
        both(parts[: group * pieces] + parts[(group + 1) * pieces :]) for group in range(groups)
    ]
    fid, limit = (
        Estimate(value, jackknife(each))
        for value, each in zip(values, zip(*without, strict=True), strict=True)
    )
    return fid, limit if has_limit else None


def intercept(reference: Gaussian, quarters: Sequence[Moments]) -> float:
    """The distance for n to infinity, from four random quarters of the samples.

    A quadratic in 1/n through the mean distances of all quarters, any three, any two. In each of
    these means every sample weighs the same, so its noise is in all three alike.
    """
    shares, values = [], []
    for count in (4, 3, 2):
        sets = [add(chosen) for chosen in combinations(quarters, count)]
        values.append(np.mean([distance(reference, one) for one in sets]))
        shares.append(np.mean([1 / one.n for one in sets]))
    # Divided by the smallest, for a well conditioned fit.
    return float(np.polyfit(np.array(shares) / shares[0], values, 2)[-1])


def moments(features: np.ndarray, rows: np.ndarray, reference: Gaussian) -> Moments:
    """Moments of some rows of features (N, d), block by block."""
    mean, factor = reference.mean, reference.factor
    first, square = np.zeros(len(mean)), 0.0
    projected = np.zeros((len(factor), len(factor)))
    for start in range(0, len(rows), BLOCK):
        centred = features[rows[start : start + BLOCK]].astype(np.float64) - mean
        first += centred.sum(axis=0)
        square += float(np.square(centred).sum())
        y = centred @ factor.T
        projected += y.T @ y
    return Moments(len(rows), first, square, projected)


def add(parts: Sequence[Moments]) -> Moments:
    return Moments(*(reduce(operator.add, column) for column in zip(*parts, strict=True)))


def distance(reference: Gaussian, samples: Moments) -> float:
    """Fréchet distance of samples from a reference with covariance F^T F.

    The trace of (S1 S2)^(1/2) is the sum of the square roots of the eigenvalues of F S2 F^T: a
    third of the time of singular values, and exact enough for differences between many of them.
    """
    n = samples.n
    mean = samples.first / n
    y = reference.factor @ mean
    covariance = (samples.projected - n * np.outer(y, y)) / (n - 1)
    values = np.linalg.eigvalsh(covariance)
    cross = np.sqrt(values[values > NULL * values.max(initial=0)]).sum()
    variance = (samples.square - n * (mean @ mean)) / (n - 1)
    return float(mean @ mean + np.trace(reference.covariance) + variance - 2 * cross)


def jackknife(without: Sequence[float]) -> float:
    """Standard error of an estimate from its values without each group in turn."""
    groups = len(without)
    return float(np.sqrt((groups - 1) * np.var(without)))
