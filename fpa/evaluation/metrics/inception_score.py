"""Inception Score (Salimans et al. 2016)."""

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
    mean, spread = cross_check.inception_score(pair.fake.logits, measurement.settings.seed)
    return {"inception_score": Estimate(mean, spread)}


INCEPTION_SCORE = Metric(
    "inception_score",
    "Inception Score",
    lower_is_better=False,
    compute=compute,
    needs_cross_check=True,
)
