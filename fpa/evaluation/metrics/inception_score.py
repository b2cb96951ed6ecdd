"""Inception Score (Salimans et al. 2016)."""

import math
from collections.abc import Mapping

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric

SPLITS = 10


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """By torch-fidelity, from class logits of at least as many samples as there are splits."""
    from fpa.evaluation import cross_check

    pair = measurement.torch_fidelity
    if pair is None or pair.fake.logits is None or len(pair.fake.values) < SPLITS:
        return {}
    mean, deviation = cross_check.inception_score(
        pair.fake.logits, SPLITS, measurement.settings.seed
    )
    # Of the mean over disjoint splits; the library divides by their number, not by one less.
    return {"inception_score": Estimate(mean, deviation / math.sqrt(SPLITS - 1))}


INCEPTION_SCORE = Metric(
    "inception_score",
    "Inception Score",
    lower_is_better=False,
    compute=compute,
    needs="cross_check: true and ten samples",
    needs_cross_check=True,
)
