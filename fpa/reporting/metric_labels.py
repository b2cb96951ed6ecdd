"""What tables and figures call the metrics; all that they know of one is in METRICS."""

from __future__ import annotations

from collections.abc import Iterable

from fpa.core.errors import in_words
from fpa.evaluation.metrics import METRICS, label_of
from fpa.experiment.config import EvaluationSettings


def drawn_metrics() -> list[str]:
    """Metrics that are panels of the figures, in their order."""
    return [name for name, metric in METRICS.items() if metric.drawn]


def heading(name: str, extractors: Iterable[str], times: str = "x") -> str:
    """A metric's label with the factor by which the shown values are multiplied."""
    label, scale = label_of(name, extractors), METRICS[name].scale
    return label if scale == 1 else f"{label} {times} {scale:g}"


def directions(evaluation: EvaluationSettings) -> str:
    """Which of the drawn metrics are better when lower, which when higher, as a sentence."""
    drawn = [
        METRICS[name]
        for name in drawn_metrics()
        if name in evaluation.metrics
        and (evaluation.cross_check or not METRICS[name].needs_cross_check)
    ]
    lower, higher = (
        in_words([label_of(m.name, ()) for m in drawn if m.lower_is_better == direction])
        for direction in (True, False)
    )
    parts = [f"{lower}: lower is better"] if lower else []
    if higher:
        parts.append(f"{higher}: higher" if lower else f"{higher}: higher is better")
    return f"{'; '.join(parts)}." if parts else ""
