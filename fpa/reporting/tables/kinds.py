"""Which tables an experiment has."""

from collections.abc import Collection

from fpa.evaluation.metrics import METRICS


def table_names(measured: Collection[str] | None = None) -> list[str]:
    """The metrics that have a table, then the others.

    measured: the experiment's metrics; a metric that is not among them has no table (None: all have).
    """
    metrics = [
        name
        for name, metric in METRICS.items()
        if metric.table and (measured is None or name in measured)
    ]
    return [*metrics, "scores", "comparisons", "models"]
