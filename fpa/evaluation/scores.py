"""Metrics of a model's samples. A score is never a bare number: what made it stands beside it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fpa.common.errors import UserError
from fpa.evaluation import cross_check as second
from fpa.evaluation import distances
from fpa.evaluation.distances import Estimate
from fpa.evaluation.features import Features

METRICS = ("fid", "fid_infinity", "kid", "inception_score", "precision", "recall")
"""What `measure` can measure; `fid` and `kid` are told by two libraries."""
LARGEST_DIFFERENCE = 1e-3
"""Of the two libraries' FID, relative."""


class Settings(NamedTuple):
    """How to measure (schema: evaluation)."""

    metrics: Sequence[str]
    frechet: distances.Method
    kid_subsets: int
    kid_subset_size: int
    groups: int
    seed: int


class Pair(NamedTuple):
    """Real and generated images in one feature space."""

    real: Features
    fake: Features


def pair(real: Features, fake: Features) -> Pair:
    """Two sets that may be compared; UserError when they come from different feature spaces."""
    keys = ("extractor", "weights_sha256", "resize", "format")
    one, two = ({key: about.get(key) for key in keys} for about in (real.about, fake.about))
    if one != two:
        key = next(key for key in keys if one[key] != two[key])
        raise UserError(
            f"real and generated features were not made alike: {key} is {one[key]} and {two[key]}; "
            "compute both in the same way"
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


def measure(main: Pair, libraries: tuple[Pair, Pair] | None, settings: Settings) -> dict[str, Any]:
    """The metrics asked for, by name, each with its value and standard error (None: unknown).

    libraries: clean-fid's and torch-fidelity's features of the same images. With them, the
    relative difference of the two libraries' FID is told too (UserError above 1e-3), and the
    metrics that torch-fidelity brings; without, those are left out.
    """
    if not all(np.isfinite(part.values).all() for part in main):
        return {}
    real, fake = main.real.values, main.fake.values
    if min(len(real), len(fake)) < 2:
        raise UserError(
            f"a distance needs 2 images on either side, found {len(real)} real and "
            f"{len(fake)} generated ones"
        )
    asked = set(settings.metrics)
    found: dict[str, Estimate] = {}
    if asked & {"fid", "fid_infinity"}:
        found["fid"], found["fid_infinity"] = distances.frechet_estimates(
            real, fake, settings.groups, settings.seed, settings.frechet
        )
    if "kid" in asked:
        found["kid"] = distances.kernel_estimate(
            real,
            fake,
            settings.kid_subsets,
            settings.kid_subset_size,
            settings.groups,
            settings.seed,
        )
    if libraries:
        ours, theirs = libraries
        found |= _second_opinion(theirs, asked, settings)
        if "fid" in asked:
            # Where clean-fid's half of the check is the score's own space, it is measured already.
            mine = (
                found["fid"].value
                if ours is main
                else distances.frechet_of(ours.real.values, ours.fake.values, settings.frechet)
            )
            found |= _compared(mine, found["fid_torch_fidelity"].value)
    return {
        name: {key: _number(value) for key, value in estimate._asdict().items()}
        for name, estimate in found.items()
        if name in asked
        or name.removesuffix("_torch_fidelity") in asked
        or name == "fid_difference"
    }


def _second_opinion(pair: Pair, asked: set[str], settings: Settings) -> dict[str, Estimate]:
    """What torch-fidelity says."""
    real, fake = pair.real.values, pair.fake.values
    found = {}
    if "fid" in asked:
        found["fid_torch_fidelity"] = Estimate(second.frechet(real, fake), math.nan)
    if "kid" in asked:
        found["kid_torch_fidelity"] = Estimate(
            *second.kernel(
                real, fake, settings.kid_subsets, settings.kid_subset_size, settings.seed
            )
        )
    if asked & {"precision", "recall"} and min(len(real), len(fake)) > 3:
        precision, recall = second.precision_recall(real, fake)
        found |= {"precision": Estimate(precision, math.nan), "recall": Estimate(recall, math.nan)}
    if "inception_score" in asked and pair.fake.logits is not None and len(fake) >= 10:
        found["inception_score"] = Estimate(
            *second.inception_score(pair.fake.logits, settings.seed)
        )
    return found


def _compared(ours: float, theirs: float) -> dict[str, Estimate]:
    """The relative difference of the two libraries' FID; UserError when it is too large."""
    difference = abs(ours - theirs) / max(abs(ours), abs(theirs), 1e-12)
    if difference > LARGEST_DIFFERENCE:
        raise UserError(
            f"two libraries disagree on the Fréchet distance of the same images: {ours:.6g} "
            f"(clean-fid's features) and {theirs:.6g} (torch-fidelity), {difference:.1e} apart, "
            f"allowed {LARGEST_DIFFERENCE:g}; check the versions and weights of both, or set "
            "evaluation.cross_check: false to score without the second"
        )
    return {"fid_difference": Estimate(difference, math.nan)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
