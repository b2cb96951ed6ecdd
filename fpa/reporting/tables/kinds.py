"""Which tables an experiment has."""

from fpa.evaluation.metrics import METRICS


def table_names() -> list[str]:
    """The metrics that have a table, then the others."""
    metrics = [name for name, metric in METRICS.items() if metric.table]
    return [*metrics, "scores", "comparisons", "models"]
