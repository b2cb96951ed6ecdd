"""CMMD (Jayasumana et al. 2024): a kernel distance of CLIP features that needs few samples."""

from collections.abc import Mapping

from fpa.evaluation.estimate import Estimate
from fpa.evaluation.metrics.base import Measurement, Metric


def compute(measurement: Measurement) -> Mapping[str, Estimate]:
    """In CLIP's features, of at most 10,000 real and as many generated images, drawn at random.

    The bandwidth is of unit vectors in CLIP's space: in others the value means nothing.
    """
    from fpa.evaluation.kernel_mmd import cmmd
    from fpa.evaluation.precision_recall import subset
    from fpa.evaluation.protocols import MOST_COVERED

    main, settings = measurement.main, measurement.settings
    if not main.fake.about["extractor"].startswith("clip_"):
        return {}
    real, fake = (
        part.values[subset(len(part.values), MOST_COVERED, settings.seed)] for part in main
    )
    return {"cmmd": cmmd(real, fake, settings.groups, settings.seed)}


CMMD = Metric(
    "cmmd",
    "CMMD",
    lower_is_better=True,
    compute=compute,
    digits=3,
    drawn=True,
    needs="CLIP features (protocol clip)",
)
