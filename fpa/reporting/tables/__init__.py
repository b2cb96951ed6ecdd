"""Tables of scores and costs: CSV with everything, then Markdown and LaTeX in the paper's layout.

    scores        every score (scores.csv); one metric: models down, data sets across (fid, kid)
    comparisons   which differences exceed the spread of trainings; claims with a verdict
    quick_scores  how far scores agree; which checkpoint each would have chosen (agreement, choices)
    health        signs of overfitting and of faults
    costs         size and speed of the models; images and hours to a distance (models, targets)
    side_by_side  two runs
    base          what a table is
    rendering     a table as Markdown, LaTeX and HTML

The workflow imports this at every start: nothing here imports pandas before a table is made.
"""

from functools import partial
from pathlib import Path

from fpa.evaluation.metrics import METRICS
from fpa.experiment.experiment import Experiment
from fpa.reporting.results import Results
from fpa.reporting.tables import comparisons, costs, health, quick_scores, scores
from fpa.reporting.tables.base import TABLES, Made, Table, mixed_stages
from fpa.reporting.tables.scores import PUBLISHED, read_published
from fpa.reporting.tables.side_by_side import compare_runs

__all__ = [
    "PUBLISHED",
    "TABLES",
    "Made",
    "Table",
    "build",
    "compare_runs",
    "comparisons",
    "costs",
    "health",
    "makeable",
    "quick_scores",
    "read_published",
    "scores",
    "table_names",
    "table_of",
]

ORDER = ("scores", "comparisons", "agreement", "choices", "health", "targets", "models")
"""Of the project's own tables on the page; those of metrics follow the claims, others come last."""


def table_of(kind: str) -> Table:
    """The table of a metric, or of another kind; UserError for a kind that is not known."""
    if kind in TABLES:
        return TABLES[kind]
    METRICS.get(kind, "table")
    return Table(partial(scores.metric_table, kind))


def makeable(experiment: Experiment, folder: Path) -> list[str]:
    """Tables of an experiment of whose files at least one is in its results folder."""
    return [
        name
        for name in table_names(experiment)
        if any((folder / path).exists() for path in table_of(name).needs(experiment))
    ]


def build(kind: str, results: Results) -> Made:
    """A table, with a warning where it mixes versions of a stage."""
    table = table_of(kind)
    scored_or_measured = {"scores": results.scores, "costs": results.costs}.get(table.of, ())
    stages = [getattr(one, "stages", None) for one in scored_or_measured]
    return table.make(results)._replace(warning=mixed_stages(stages))


def table_names(experiment: Experiment | None = None, of: str | None = None) -> list[str]:
    """Tables of an experiment, or all that there can be, or those made `of` scores, costs or runs.

    A metric that is not measured has no table.
    """
    measured = METRICS if experiment is None else experiment.config.evaluation.metrics
    metrics = [name for name, metric in METRICS.items() if metric.table and name in measured]
    names = [
        name for name, table in TABLES.items() if experiment is None or table.belongs(experiment)
    ]
    order = ["claims", *METRICS, *ORDER]
    found = sorted(
        [*metrics, *names], key=lambda name: order.index(name) if name in order else len(order)
    )
    return [name for name in found if of is None or table_of(name).of == of]
