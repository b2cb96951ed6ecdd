"""The FID's limit for infinitely many samples (Chong & Forsyth 2020)."""

from collections.abc import Mapping

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """The limit, where there are samples enough to extrapolate (see `fpa.evaluation.extrapolation`)."""
    _, limit = measurement.frechet
    return {} if limit is None else {"fid_infinity": limit}


FID_INFINITY = Metric(
    "fid_infinity",
    "FID ∞",
    lower_is_better=True,
    compute=compute,
    needs="four samples for each dimension of the features",
)
