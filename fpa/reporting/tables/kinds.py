"""Which tables an experiment has, and what those of its runs are made from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fpa.core import artifacts
from fpa.core.registry import Registry, load_target
from fpa.evaluation.metrics import METRICS
from fpa.reporting.description import Description, claimed, neighbours_file, score_file, watched


@dataclass(frozen=True)
class Table:
    """A kind of table beside those of single metrics."""

    target: str | Callable[..., Any]
    """A function from what it is asked for (`fpa.reporting.tables.request.Request`) to a table, or
    "package.module:function" to import it only when it is needed."""
    of_runs: bool = False
    """Whether it is made of all that the runs of an experiment left, not of score files alone."""
    belongs: Callable[[Description], object] = lambda about: True
    """Whether a described experiment has it."""

    def load(self) -> Callable[..., Any]:
        """The function."""
        return load_target(self.target)


TABLES: Registry[Table] = Registry("table")
_HERE = "fpa.reporting.tables"
TABLES.register("claims", Table(f"{_HERE}.claims:build", belongs=claimed))
TABLES.register("scores", Table(f"{_HERE}.scores:build"))
TABLES.register("comparisons", Table(f"{_HERE}.pairwise:build"))
TABLES.register("agreement", Table(f"{_HERE}.agreement:build", of_runs=True))
TABLES.register("choices", Table(f"{_HERE}.choices:build", of_runs=True))
TABLES.register("health", Table(f"{_HERE}.health:build", of_runs=True))
TABLES.register("targets", Table(f"{_HERE}.targets:build", of_runs=True, belongs=watched))
TABLES.register("models", Table(f"{_HERE}.models:build"))

OF_RUNS = tuple(name for name, table in TABLES.items() if table.of_runs)
"""Tables of all that the runs of an experiment left, not of score files alone."""


def table_names(about: Description | None = None) -> list[str]:
    """Those of a described experiment, or all that there can be: claims first, then the metrics.

    A metric that is not measured has no table.
    """
    measured = METRICS if about is None else about["config"]["evaluation"]["metrics"]
    metrics = [name for name, metric in METRICS.items() if metric.table and name in measured]
    names = [name for name, table in TABLES.items() if about is None or table.belongs(about)]
    first = [name for name in names if name == "claims"]
    return [*first, *metrics, *names[len(first) :]]


def run_files(about: Description, run: dict) -> dict[str, str]:
    """What a table of OF_RUNS is made from, of one run: by kind, below the results folder.

    Scores are called `score-<protocol>`. Samples are compared with training images, and
    speeds measured, for the first training seed alone.
    """
    names = {
        "summary": artifacts.SUMMARY,
        "history": artifacts.HISTORY,
        **{f"score-{part['name']}": score_file(part) for part in about["protocols"]},
    }
    if run["seed"] == about["config"]["seeds"][0]:
        names |= {"neighbours": neighbours_file(about), "cost": artifacts.COST}
    return {kind: f"{run['folder']}/{name}" for kind, name in names.items()}


def files_of_runs(about: Description) -> list[str]:
    """The same of all runs."""
    return [path for run in about["runs"] for path in run_files(about, run).values()]
