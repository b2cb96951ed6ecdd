"""Fréchet Inception distance (Heusel et al. 2017), by two libraries."""

import math
from collections.abc import Mapping

from fpa.core.errors import UserError
from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric

LARGEST_DIFFERENCE = 1e-3
"""Between the two libraries' FID, relative."""


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """FID; with a cross-check also torch-fidelity's, and the relative difference of the two.

    UserError when the difference is too large.
    """
    fid, _ = measurement.frechet
    if measurement.libraries is None:
        return {"fid": fid}
    from fpa.evaluation import cross_check, distances

    clean, other = measurement.libraries
    theirs = cross_check.frechet(other.real.values, other.fake.values)
    # A protocol in clean-fid's half of the check has this distance already.
    ours = (
        fid.value
        if clean is measurement.main
        else distances.frechet_of(
            clean.real.values, clean.fake.values, measurement.settings.frechet
        )
    )
    return {
        "fid": fid,
        "fid_torch_fidelity": Estimate(theirs, math.nan),
        "fid_difference": Estimate(_difference(ours, theirs), math.nan),
    }


def _difference(ours: float, theirs: float) -> float:
    """Relative; UserError when it is too large."""
    difference = abs(ours - theirs) / max(abs(ours), abs(theirs), 1e-12)
    if difference > LARGEST_DIFFERENCE:
        raise UserError(
            f"two libraries disagree on the Fréchet distance of the same images: {ours:.6g} "
            f"(clean-fid's features) and {theirs:.6g} (torch-fidelity), a relative difference of "
            f"{difference:.1e}, where {LARGEST_DIFFERENCE:g} is allowed; check the versions and "
            "weights of both, or set evaluation.cross_check: false to score with clean-fid alone"
        )
    return difference


FID = Metric("fid", "FID", lower_is_better=True, compute=compute, drawn=True, table=True)
