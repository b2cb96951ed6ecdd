"""Which tables an experiment has, and what those of its runs are made from."""

from fpa.common import artifacts
from fpa.evaluation.metrics import METRICS
from fpa.reporting.description import Description, neighbours_file, score_file

OF_RUNS = ("agreement", "choices", "health")
"""Tables of all that the runs of an experiment left, not of score files alone."""


def table_names() -> list[str]:
    """The metrics that have a table, then the others."""
    metrics = [name for name, metric in METRICS.items() if metric.table]
    return [*metrics, "scores", "comparisons", *OF_RUNS, "models"]


def run_files(about: Description, run: dict) -> dict[str, str]:
    """What a table of OF_RUNS is made from, of one run: by kind, below the results folder.

    Scores are called `score-<protocol>`. Samples are compared with training images for the first
    training seed alone.
    """
    names = {
        "summary": artifacts.SUMMARY,
        "history": artifacts.HISTORY,
        **{f"score-{part['name']}": score_file(part) for part in about["protocols"]},
    }
    if run["seed"] == about["config"]["seeds"][0]:
        names["neighbours"] = neighbours_file(about)
    return {kind: f"{run['folder']}/{name}" for kind, name in names.items()}


def files_of_runs(about: Description) -> list[str]:
    """The same of all runs."""
    return [path for run in about["runs"] for path in run_files(about, run).values()]
