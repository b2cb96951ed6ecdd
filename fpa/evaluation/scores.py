"""Metrics of a model's samples, with their standard errors."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fpa.core.errors import UserError
from fpa.evaluation.distances import BLOCK, Gaussian, Method
from fpa.evaluation.features import Features
from fpa.evaluation.metrics import METRICS, Measurement
from fpa.evaluation.precision_recall import Covered


class Settings(NamedTuple):
    """How to measure (the configuration's `evaluation` section)."""

    metrics: Sequence[str]
    """Names in METRICS."""
    frechet: Method = "symmetric"
    kid_subsets: int = 100
    kid_subset_size: int = 1000
    groups: int = 10
    seed: int = 0


class Pair(NamedTuple):
    """Real and generated images in one feature space."""

    real: Features
    fake: Features


def pair(real: Features, fake: Features) -> Pair:
    """Two sets that may be compared; UserError when they come from different feature spaces."""
    keys = ("extractor", "weights_sha256", "resize", "format")
    one, two = (
        {key: about.get(key) for key in keys}
        | {"the version of stage features": about.get("stages", {}).get("features")}
        for about in (real.about, fake.about)
    )
    if one != two:
        key = next(key for key in one if one[key] != two[key])
        raise UserError(
            "real and generated features cannot be compared: "
            f"{key} is {one[key]} and {two[key]}; compute both in the same way"
        )
    return Pair(real, fake)


def choose(features: Features, count: int | None, seed: int) -> Features:
    """`count` of the features, drawn at random; all of them for None. UserError for too many."""
    if count is None or count == len(features.values):
        return features
    if count > len(features.values):
        raise UserError(
            f"n_real is {count:,}, but there are only {len(features.values):,} real images; "
            "lower it, or leave it out for all"
        )
    rows = np.sort(np.random.default_rng(seed).choice(len(features.values), count, replace=False))
    logits = features.logits[rows] if features.logits is not None else None
    return Features(features.values[rows], logits, features.about)


def measure(
    main: Pair,
    libraries: tuple[Pair, Pair] | None,
    settings: Settings,
    real_covered: Covered | None = None,
    real_moments: Gaussian | None = None,
) -> dict[str, Any]:
    """The requested metrics by name, each with its value and standard error (None: unknown).

    libraries: clean-fid's and torch-fidelity's features of the same images. With them, FID and KID
    are computed by both libraries, and the metrics that need torch-fidelity's features are not
    left out. real_covered: for precision and recall, if it is known already. real_moments: of all
    real images, where `main` holds only a part of them. Empty when features are not finite. UserError
    for an unknown metric, and when the libraries disagree.
    """
    for name in settings.metrics:
        METRICS.get(name, "evaluation.metrics")
    if not all(_is_finite(part.values) for part in main):
        return {}
    real, fake = main.real.values, main.fake.values
    if min(len(real), len(fake)) < 2:
        raise UserError(
            f"a distance needs 2 images on either side, found {len(real)} real and "
            f"{len(fake)} generated ones"
        )
    measurement = Measurement(main, libraries, settings, real_covered, real_moments)
    return {
        name: {"value": _number(estimate.value), "error": _number(estimate.error)}
        for metric in METRICS.values()
        if metric.name in settings.metrics
        and (libraries is not None or not metric.needs_cross_check)
        for name, estimate in metric.compute(measurement).items()
    }


def _is_finite(values: np.ndarray) -> bool:
    """Whether all of (N, d) are, block by block."""
    return all(np.isfinite(values[i : i + BLOCK]).all() for i in range(0, len(values), BLOCK))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
