"""Which tables an experiment has."""

from fpa.evaluation.metrics import METRICS


def table_names(claims: bool = False) -> list[str]:
    """The claims if the experiment names any, the metrics that have a table, then the others."""
    metrics = [name for name, metric in METRICS.items() if metric.table]
    first = ["claims"] if claims else []
    return [*first, *metrics, "scores", "comparisons", "models"]
