"""Metrics that a configuration can name in `evaluation.metrics`.

A metric is one file with one `Metric` (see `base`) and one registration below, in the order in
which people read them. A plugin registers its metrics in the same way. Nothing here imports torch
or SciPy before a metric is computed.
"""

from fpa.core.registry import Registry
from fpa.evaluation.metrics.base import Measurement, Metric
from fpa.evaluation.metrics.cmmd import CMMD
from fpa.evaluation.metrics.fid import FID
from fpa.evaluation.metrics.fid_infinity import FID_INFINITY
from fpa.evaluation.metrics.inception_score import INCEPTION_SCORE
from fpa.evaluation.metrics.kid import KID
from fpa.evaluation.metrics.ppl import PPL
from fpa.evaluation.metrics.precision import PRECISION
from fpa.evaluation.metrics.recall import RECALL

__all__ = ["METRICS", "Measurement", "Metric"]

METRICS: Registry[Metric] = Registry("metric")
METRICS.register("fid", FID)
METRICS.register("fid_infinity", FID_INFINITY)
METRICS.register("kid", KID)
METRICS.register("cmmd", CMMD)
METRICS.register("ppl", PPL)
METRICS.register("precision", PRECISION)
METRICS.register("recall", RECALL)
METRICS.register("inception_score", INCEPTION_SCORE)
