"""Whether FID and FID_infinity are what they say: known truth, many draws.

    python benchmarks/fid_infinity.py                          d = 64 and 256, some ten minutes
    python benchmarks/fid_infinity.py --case 1280 5120 --draws 20

Features are Gaussian, so the true Fréchet distance between a fixed reference and the distribution
that is sampled is known. For each number of features d and of samples n it prints, over the draws:
the mean error of the estimate (bias), its true standard deviation, the mean of the reported
standard errors, and the share of 90% intervals (Student's t) that hold the truth. `line` is the
intercept of a straight line with the standard error of its fit, which version 0.1 reported.

Two kinds of features: `even`, all of the same variance, where the bias is largest, and `decaying`,
with variances like 1/k, which is nearer to those of a network (which decay faster).
"""

import argparse

import numpy as np
from scipy.stats import t

from fpa.evaluation import distances
from fpa.evaluation.distances import Estimate, Gaussian

GROUPS = 10


def distributions(kind: str, d: int) -> tuple[Gaussian, np.ndarray, np.ndarray, float]:
    """A reference, and mean and root (x = mean + z root^T) of another Gaussian; their distance."""
    rng = np.random.default_rng(0)
    if kind == "even":
        factor, root, mean = np.eye(d), 1.2 * np.eye(d), np.full(d, 0.1)
    else:
        variances = 1 / np.arange(1, d + 1)
        scale = np.sqrt(variances * d / variances.sum())
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        factor = scale[:, None] * basis.T
        root = basis @ factor @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)) / np.sqrt(d))
        mean = 0.1 * scale @ basis.T
    reference = Gaussian(np.zeros(d), factor.T @ factor, factor)
    cross = np.sqrt(np.linalg.eigvalsh(factor @ root @ root.T @ factor.T)).sum()
    truth = mean @ mean + np.square(factor).sum() + np.square(root).sum() - 2 * cross
    return reference, mean, root, float(truth)


def line(reference: Gaussian, fake: np.ndarray, seed: int) -> Estimate:
    """As before: a line in 1/n through all, all but a group, and halves on a ring of groups."""
    rows = np.array_split(np.random.default_rng(seed).permutation(len(fake)), GROUPS)
    parts = [distances.moments(fake, some, reference) for some in rows]
    sets = [parts]
    for group in range(GROUPS):
        ring = parts[group:] + parts[:group]
        sets += [ring[1:], ring[: GROUPS // 2]]
    added = [distances.add(some) for some in sets]
    values = [distances.distance(reference, one) for one in added]
    (_, intercept), covariance = np.polyfit([1 / one.n for one in added], values, 1, cov=True)
    return Estimate(float(intercept), float(np.sqrt(covariance[1, 1])))


def trial(kind: str, d: int, n: int, draws: int) -> None:
    """One row for each estimate."""
    reference, mean, root, truth = distributions(kind, d)
    found: dict[str, list[Estimate]] = {"FID": [], "FID_infinity": [], "line": []}
    for draw in range(draws):
        fake = mean + np.random.default_rng(1000 + draw).normal(size=(n, d)) @ root.T
        fid, limit = distances.estimates_from(reference, fake, GROUPS, draw)
        found["FID"].append(fid)
        if limit is not None:
            found["FID_infinity"].append(limit)
        found["line"].append(line(reference, fake, draw))
    for name, estimates in found.items():
        if not estimates:
            print(f"{kind:9}{d:6}{n:8,}  {name:14}absent: fewer than 4 samples a feature")
            continue
        values, errors = (np.array(column) for column in zip(*estimates, strict=True))
        covered = np.abs(values - truth) <= t.ppf(0.95, GROUPS - 1) * errors
        print(
            f"{kind:9}{d:6}{n:8,}  {name:14}{truth:9.3f}{values.mean() - truth:+9.3f}"
            f"{values.std(ddof=1):9.3f}{errors.mean():10.3f}{covered.mean():10.0%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--case", nargs=2, type=int, action="append", metavar=("D", "N"), help="features, samples"
    )
    parser.add_argument("--kind", nargs="+", choices=["even", "decaying"])
    parser.add_argument("--draws", type=int, default=100)
    options = parser.parse_args()
    cases = options.case or [(64, 256), (64, 2000), (64, 10000), (256, 1024), (256, 2000)]
    print(
        f"{'features':9}{'d':>6}{'n':>8}  {'estimate':14}{'truth':>9}{'bias':>9}{'true sd':>9}"
        f"{'reported':>10}{'coverage':>10}"
    )
    for d, n in cases:
        for kind in options.kind or ("even", "decaying"):
            trial(kind, d, n, options.draws)


if __name__ == "__main__":
    main()
