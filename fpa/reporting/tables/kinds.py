"""Which tables an experiment has."""

from fpa.evaluation.metrics import METRICS
from fpa.reporting.description import Description, claimed, watched


def table_names(about: Description | None = None) -> list[str]:
    """Those of a described experiment, or all that there can be: claims first, then the metrics.

    A metric that is not measured has no table.
    """
    measured = METRICS if about is None else about["config"]["evaluation"]["metrics"]
    metrics = [name for name, metric in METRICS.items() if metric.table and name in measured]
    claims = ["claims"] if about is None or claimed(about) else []
    targets = ["targets"] if about is None or watched(about) else []
    return [*claims, *metrics, "scores", "comparisons", "models", *targets]
