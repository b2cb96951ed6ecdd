"""Kernel Inception distance (Bińkowski et al. 2018), by two libraries."""

import math
from collections.abc import Mapping

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """KID; with a cross-check also torch-fidelity's, of subsets drawn with the same seed."""
    from fpa.evaluation import cross_check, kernel_distance

    settings = measurement.settings
    found = {
        "kid": kernel_distance.kernel_estimate(
            measurement.main.real.values,
            measurement.main.fake.values,
            settings.kid_subsets,
            settings.kid_subset_size,
            settings.groups,
            settings.seed,
        )
    }
    pair = measurement.torch_fidelity
    if pair is not None:
        mean = cross_check.kernel(
            pair.real.values,
            pair.fake.values,
            settings.kid_subsets,
            settings.kid_subset_size,
            settings.seed,
        )
        found["kid_torch_fidelity"] = Estimate(mean, math.nan)
    return found


KID = Metric(
    "kid", "KID", lower_is_better=True, compute=compute, scale=1000, drawn=True, table=True
)
