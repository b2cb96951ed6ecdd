"""Improved precision (Kynkäänniemi et al. 2019): the share of generated images that lie among real ones."""

from collections.abc import Mapping

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """Without an error: nothing tells it from one set of samples."""
    both = measurement.precision_recall
    return {} if both is None else {"precision": both[0]}


PRECISION = Metric(
    "precision",
    "precision",
    lower_is_better=False,
    compute=compute,
    digits=3,
    drawn=True,
    needs="four images on either side",
    uses_real_radii=True,
)
