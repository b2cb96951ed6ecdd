"""Maximum mean discrepancies by a kernel, with standard errors: KID and CMMD.

KID (Bińkowski et al. 2018) is the mean, over random subsets, of the unbiased squared discrepancy by the
kernel k(a, b) = (a.b / d + 1)^3. The subsets are those that clean-fid draws. They overlap, so that most
pairs of images meet in many of them: where it is less work, each pair's kernel is computed once, and a
subset adds up those of its pairs. Otherwise clean-fid's function is called for each subset.

CMMD (Jayasumana et al. 2024) is the discrepancy of unit vectors by a Gaussian kernel:
MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y), with k(a, b) = exp(-|a - b|² / (2 σ²)). The estimate is the
unbiased one (Gretton et al. 2012, lemma 6), in which no image meets itself. The authors' code keeps
these pairs, which adds at most 1 / n to each mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fpa.core.lazy import np
from fpa.evaluation.distances import Estimate, jackknife

BLOCK = 1000
"""Rows of kernels that are held at once."""
SIGMA = 10.0
"""CMMD's published bandwidth."""
SCALE = 1000.0
"""CMMD's published factor, part of what is called CMMD."""


class Draw(NamedTuple):
    """A random subset: rows of the real images, and as many of the generated ones."""

    real: np.ndarray
    fake: np.ndarray


def kid_estimate(
    real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, groups: int, seed: int
) -> Estimate:
    """KID (not times 1000) of features (N, d), with its standard error.

    The error has two parts: the standard error of the mean over disjoint groups of samples, each
    scored against all real images (KID is unbiased for any number of samples), and that of the mean
    over the random subsets that the value is computed from.
    """
    draws = draw(len(real), len(fake), subsets, subset_size, seed)
    rows = np.array_split(np.random.default_rng(seed).permutation(len(fake)), groups)
    if len(rows[-1]) < 2 or subsets < 2:
        return Estimate(float(of_draws(real, fake, draws).mean()), np.nan)
    for g, group in enumerate(map(np.sort, rows)):
        of_group = draw(len(real), len(group), subsets, subset_size, seed + g)
        draws += [Draw(one.real, group[one.fake]) for one in of_group]
    each, *of_groups = of_draws(real, fake, draws).reshape(1 + groups, subsets)
    means = [values.mean() for values in of_groups]
    errors = [np.std(values, ddof=1) / np.sqrt(len(values)) for values in (means, each)]
    return Estimate(float(each.mean()), float(np.hypot(*errors)))


def draw(n_real: int, n_fake: int, subsets: int, subset_size: int, seed: int) -> list[Draw]:
    """The subsets that one call of clean-fid draws after np.random.seed(seed)."""
    random = np.random.RandomState(seed)
    size = min(n_real, n_fake, subset_size)

    def rows(n: int) -> np.ndarray:
        # What it returns is a part of a permutation of all n, which would be kept with it.
        return random.choice(n, size, replace=False).copy()

    found = []
    for _ in range(subsets):
        fake = rows(n_fake)
        found.append(Draw(rows(n_real), fake))
    return found


def pays(n_real: int, n_fake: int, draws: Sequence[Draw]) -> bool:
    """Whether the kernels of all pairs are fewer than those of the subsets' pairs together."""
    return n_real**2 + n_fake**2 + n_real * n_fake < 3 * sum(len(one.real) ** 2 for one in draws)


def of_draws(real: np.ndarray, fake: np.ndarray, draws: Sequence[Draw]) -> np.ndarray:
    """The squared discrepancy of each subset (len(draws),), from features (N, d)."""
    if pays(len(real), len(fake), draws):
        return of_all_pairs(real, fake, draws)
    return by_clean_fid(real, fake, draws)


def by_clean_fid(real: np.ndarray, fake: np.ndarray, draws: Sequence[Draw]) -> np.ndarray:
    """The same by clean-fid's function, a subset at a time."""
    # It imports torch and torchvision, which takes seconds.
    from cleanfid import fid as clean

    # clean-fid draws from NumPy's global generator: put it back.
    state = np.random.get_state()
    try:
        return np.array(
            [
                clean.kernel_distance(
                    real[one.real].astype(np.float64),
                    fake[one.fake].astype(np.float64),
                    num_subsets=1,
                    max_subset_size=len(one.real),
                )
                for one in draws
            ]
        )
    finally:
        np.random.set_state(state)


def of_all_pairs(real: np.ndarray, fake: np.ndarray, draws: Sequence[Draw]) -> np.ndarray:
    """The same from the kernel of each pair, a block of rows at a time."""
    x, y = real.astype(np.float64), fake.astype(np.float64)
    in_x = _members(len(x), [one.real for one in draws])
    in_y = _members(len(y), [one.fake for one in draws])
    m = in_x.sum(axis=1)
    within = _sums(x, in_x) + _sums(y, in_y)
    return within / (m * (m - 1)) - 2 * _sums_across(x, y, in_x, in_y) / m**2


def _members(n: int, subsets: Sequence[np.ndarray]) -> np.ndarray:
    """(subsets, n): 1 where an image is in a subset."""
    found = np.zeros((len(subsets), n))
    for row, chosen in zip(found, subsets, strict=True):
        row[chosen] = 1
    return found


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = x @ y.T
    found /= x.shape[1]
    found += 1
    return found * found * found


def _sums(x: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Each subset's sum of k(a, b) over its pairs a != b."""
    total = np.zeros(len(members))
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        kernels = _kernel(x[block], x[start:])
        np.fill_diagonal(kernels, 0)
        # Pairs with a later block stand for both orders.
        kernels[:, len(kernels) :] *= 2
        total += np.einsum("sj,sj->s", members[:, block] @ kernels, members[:, start:])
    return total


def _sums_across(x: np.ndarray, y: np.ndarray, in_x: np.ndarray, in_y: np.ndarray) -> np.ndarray:
    """Each subset's sum of k(a, b) over its real a and generated b."""
    total = np.zeros(len(in_x))
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        total += np.einsum("sj,sj->s", in_x[:, block] @ _kernel(x[block], y), in_y)
    return total


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
    one = np.zeros(n, int)
    within_real = (_gaussian_sums(x, x, one, one).item() - n) / (n * (n - 1))
    # Sums over pairs of groups; an image meets itself on the diagonal.
    among = _gaussian_sums(y, y, group, group) - np.diag(sizes)
    across = _gaussian_sums(x, y, one, group)[0]

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


def _gaussian_sums(x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray) -> np.ndarray:
    """Sums (G, H) of the kernel of unit vectors over groups of rows; |a - b|² = 2 - 2 a b."""
    found = np.zeros((of_x.max() + 1, of_y.max() + 1))
    columns = np.eye(found.shape[1])[of_y]
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        kernel = np.exp((x[block] @ y.T - 1) / SIGMA**2)
        np.add.at(found, of_x[block], kernel @ columns)
    return found
