"""What a table is, and what the tables' cells and captions have in common.

A table is a function from `Results` to `Made`: a frame with everything for the CSV, the same as text for
people, and a caption. `fpa.reporting.tables.rendering` makes Markdown, LaTeX and HTML of the latter two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fpa.core.errors import in_words
from fpa.core.lazy import pd
from fpa.core.registry import Registry
from fpa.evaluation.metrics import METRICS, label_of
from fpa.evaluation.scores import Score
from fpa.experiment.experiment import Experiment
from fpa.reporting.results import Results, by_name, cost_files, files_of_runs, score_files

FILES: Mapping[str, Callable[[Experiment], list[str]]] = {
    "scores": score_files,
    "costs": cost_files,
    "runs": files_of_runs,
}
"""What a table can be made of, and which files of an experiment these are."""
STATUS_WORDS = {"nan": "NaN"}
"""How a status other than `ok` is written, where not by its name."""


class Made(NamedTuple):
    """A table."""

    frame: pd.DataFrame
    """What goes into the CSV: plain values, nothing multiplied."""
    shown: pd.DataFrame
    """The same as text."""
    caption: str
    """What the numbers are, as a sentence."""
    warning: str = ""

    def whole_caption(self, experiment: str) -> str:
        """The caption with the experiment's name, if it is known, and the warning."""
        caption = f"{self.caption[:-1]}; experiment {experiment}." if experiment else self.caption
        return " ".join(filter(None, [caption, self.warning]))


@dataclass(frozen=True)
class Table:
    """A kind of table: what it needs, and the function that makes it."""

    make: Callable[[Results], Made]
    of: Literal["scores", "costs", "runs"] = "scores"
    """Whether it is made of score files, of cost files, or of all that the runs left."""
    belongs: Callable[[Experiment], object] = lambda experiment: True
    """Whether an experiment has it."""

    def needs(self, experiment: Experiment) -> list[str]:
        """The files that it is made of, below the results folder; none if it has no such table."""
        return FILES[self.of](experiment) if self.belongs(experiment) else []


TABLES: Registry[Table] = Registry("table", Table)
"""Tables beside those of single metrics."""


def sentence(parts: Iterable[str]) -> str:
    """The parts of a caption that are not empty."""
    return "; ".join(filter(None, parts)) + "."


def number(value: float, form: str) -> str:
    """A number as text; a dash where it is unknown."""
    return "—" if pd.isna(value) else format(float(value), form)


def scaled(value: float, metric: str, sign: str = "") -> str:
    """A value of a metric, scaled and rounded as the metric says."""
    return number(METRICS[metric].scale * value, f"{sign}.{METRICS[metric].digits}f")


def cell(value: float, spread: float, metric: str, unknown: str = "NaN") -> str:
    """A value of a metric and its spread."""
    if pd.isna(value):
        return unknown
    text = scaled(value, metric)
    return text if pd.isna(spread) else f"{text} ± {scaled(spread, metric)}"


def row_names(frame: pd.DataFrame, results: Results, *places: str) -> pd.Series:
    """A row's name: the model's label, and each of the places (columns) that there are several of."""
    names = frame["model"].map(results.label)
    for place in places:
        if frame[place].nunique() > 1:
            names = names + ", " + frame[place]
    return names


def own_columns(frame: pd.DataFrame, row: pd.Series) -> dict[str, str]:
    """A row's data set and protocol by the names of their columns, where the table has several."""
    columns = {"dataset": "data set", "protocol": "protocol"}
    return {
        title: row[key]
        for key, title in columns.items()
        if key in frame and frame[key].nunique() > 1
    }


def sample_counts(frame: pd.DataFrame) -> str:
    """How many images, by protocol, from which checkpoint."""
    protocols = []
    for name, group in frame.groupby("protocol", sort=False):
        fakes, reals = (
            " or ".join(f"{n:,}" for n in group[column].dropna().unique()) or "all"
            for column in ("n_fake", "n_real")
        )
        scored = group[group["status"] == "ok"]
        of_paths = len(scored) and scored["n_real"].isna().all()
        what = "paths between latents" if of_paths else f"samples against {reals} real images"
        protocols.append(f"protocol {name}: {fakes} {what}")
    return f"{', '.join(protocols)}; {' and '.join(frame['checkpoint'].unique())} checkpoint"


def spread(trainings: Iterable[int], sampling: bool) -> str:
    """What a table's ± is. trainings: of each of its cells; sampling: whether there are errors of it."""
    counts = {count for count in trainings if count}
    if counts and max(counts) > 1:
        words = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
        return f"mean ± standard deviation over {words} trainings (seeds) of each model"
    if not sampling:
        return "one training of each model: another training of the same model gives another value"
    return (
        "one training of each model, ± the standard error of sampling from it: another training of "
        "the same model can differ by several times as much"
    )


def absent(scores: Sequence[Score], names: Iterable[str]) -> str:
    """Which of the metrics a score was asked for and no score holds, and why; empty if none."""
    scored = [score for score in scores if score.status == "ok"]
    asked: set[object] = set()
    for score in scored:
        metrics = score.settings.get("metrics")
        asked.update(metrics if isinstance(metrics, list) else ())
    found = {name for score in scored for name in score.metrics}
    return "; ".join(
        f"no {label_of(name, {score.extractor for score in scored})}"
        + (f", which needs {METRICS[name].needs}" if METRICS[name].needs else "")
        for name in names
        if name in asked - found
    )


def mixed_stages(found: Iterable[Mapping[str, int] | None]) -> str:
    """A warning when scores or costs were made by different versions of a stage; empty when not.

    found: the versions of each. Who does not say them was made by nobody knows which.
    """
    mixed = [
        f"versions {in_words([str(version) for version in several])} of stage {stage}"
        for stage, several in by_name(filter(None, found)).items()
        if len(several) > 1
    ]
    if not mixed:
        return ""
    return f"MIXED: made by {in_words(mixed)}; run snakemake again to make them alike."
