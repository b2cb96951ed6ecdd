"""Which tables an experiment has, and what those of its runs are made from."""

from fpa.common import artifacts
from fpa.evaluation.metrics import METRICS
from fpa.reporting.description import (
    Description,
    claimed,
    neighbours_file,
    score_file,
    watched,
)

OF_RUNS = ("agreement", "choices", "health", "targets")
"""Tables of all that the runs of an experiment left, not of score files alone."""


def table_names(about: Description | None = None) -> list[str]:
    """Those of a described experiment, or all that there can be: claims first, then the metrics.

    A metric that is not measured has no table.
    """
    measured = METRICS if about is None else about["config"]["evaluation"]["metrics"]
    metrics = [name for name, metric in METRICS.items() if metric.table and name in measured]
    claims = ["claims"] if about is None or claimed(about) else []
    of_runs = [n for n in OF_RUNS if n != "targets" or about is None or watched(about)]
    return [*claims, *metrics, "scores", "comparisons", *of_runs, "models"]


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
