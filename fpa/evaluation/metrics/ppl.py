"""Perceptual path length (Karras et al. 2019), which `fpa.evaluation.path_length` computes."""

from collections.abc import Mapping

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """Nothing: it is of paths between latents, which features do not show."""
    return {}


PPL = Metric(
    "ppl",
    "PPL",
    lower_is_better=True,
    compute=compute,
    digits=1,
    drawn=True,
    needs="paths between latents (protocol ppl)",
)
