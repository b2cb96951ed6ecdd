"""Scores: every one of them, and the table of one metric with models down and data sets across."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from fpa.core.errors import UserError
from fpa.core.lazy import pd
from fpa.evaluation.distances import Estimate
from fpa.evaluation.metrics import METRICS, heading
from fpa.evaluation.scores import Score
from fpa.reporting.results import Results
from fpa.reporting.tables.base import (
    STATUS_WORDS,
    TABLES,
    Made,
    Table,
    absent,
    cell,
    row_names,
    sample_counts,
    scaled,
    sentence,
    spread,
)

# Published scores --------------------------------------------------------------------------------

PUBLISHED = Path(__file__).parent.parent / "published.csv"
"""The list of published scores that comes with the project."""
PUBLISHED_COLUMNS = ["dataset", "model", "metric", "value", "protocol", "source"]


def read_published(path: str | Path) -> pd.DataFrame:
    """Published scores from a CSV file; UserError when columns are missing or values no numbers."""
    try:
        frame = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False)
        frame["value"] = frame["value"].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"cannot read {path}: {error}; expected a CSV file with the columns "
            f"{', '.join(PUBLISHED_COLUMNS)}"
        ) from error
    missing = [column for column in PUBLISHED_COLUMNS if column not in frame]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}")
    return frame


def published_for(
    row: Mapping[str, object], metric: str, published: pd.DataFrame | None
) -> dict[str, object]:
    """The published value of a row's data set, protocol and model, and its source."""
    if published is not None:
        wanted = {key: row[key] for key in ("dataset", "model", "protocol")} | {"metric": metric}
        found = published[(published[list(wanted)] == pd.Series(wanted)).all(axis=1)]
        if len(found):
            return {"published": found["value"].iloc[0], "source": found["source"].iloc[0]}
    return {"published": math.nan, "source": ""}


# Every score -------------------------------------------------------------------------------------


def tidy_scores(results: Results) -> pd.DataFrame:
    """One row for each run, protocol and metric, with the standard error where it is known.

    A run whose samples gave no finite features has one row without a metric, status `nan`; so has
    one without a score, status `missing` or `failed`. Nothing is multiplied.
    """
    rows = [
        {"experiment": results.experiment, **row}
        for score in results.scores
        for row in score.rows()
    ]
    return whole_counts(pd.DataFrame(rows).astype({"value": float, "error": float}))


def whole_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts stay whole numbers where one of them is unknown."""
    counts = [name for name in Score.counts() if name in frame and name != "seed"]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def scores_table(results: Results) -> Made:
    """Every score in the CSV; models (and data sets, if several) down, metrics across as text."""
    tidy = tidy_scores(results)
    extractors = ", ".join(tidy["extractor"].unique())
    parts = [
        f"Every score in {extractors} features",
        spread(_trainings(tidy), bool(tidy["error"].notna().any())),
        absent(results.scores, METRICS),
        _precision_recall(tidy),
        sample_counts(tidy),
    ]
    return Made(tidy, _scores_layout(tidy, results), sentence(parts))


def _scores_layout(tidy: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Means over seeds, as text."""
    named = tidy.assign(Model=row_names(tidy, results, "protocol", "dataset"))
    measured = set(tidy["metric"])
    several = _trainings(tidy).max() > 1
    columns = {}
    for name in METRICS:
        if name in measured:
            rows = named[named["metric"] == name].groupby("Model", sort=False)
            means = rows["value"].mean()
            spreads = rows["value"].std() if several else rows["error"].mean()
            cells = [cell(*both, name) for both in zip(means, spreads, strict=True)]
            columns[heading(name, tidy["extractor"])] = pd.Series(cells, means.index)
    table = pd.DataFrame(columns, index=pd.Index(named["Model"].unique(), name="Model"))
    statuses = named.groupby("Model", sort=False)["status"].first()
    words = statuses.replace({"ok": "—", **STATUS_WORDS})
    return table.apply(lambda column: column.fillna(words))


def _trainings(tidy: pd.DataFrame) -> pd.Series:
    """How many trainings each cell is the mean of."""
    known = tidy.dropna(subset="value")
    return known.groupby(["dataset", "model", "protocol", "metric"])["seed"].nunique()


def _precision_recall(tidy: pd.DataFrame) -> str:
    """Of how many images precision and recall are; empty without them."""
    counts = [f"{n:,}" for n in sorted(tidy["n_precision_recall"].dropna().unique())]
    return f"precision and recall of {' or '.join(counts)} images on either side" if counts else ""


# One metric --------------------------------------------------------------------------------------

KEYS = ["dataset", "resolution", "protocol", "model"]
CONSTANT = [
    *("extractor", "resize", "format", "n_real", "n_fake", "checkpoint", "kimg"),
    "generator_parameters",
]
"""What is the same for all seeds of a row."""
UNKNOWN = Estimate(math.nan, math.nan)


def metric_table(metric: str, results: Results) -> Made:
    """The table of one metric."""
    frame = metric_frame(metric, results)
    extractors = list(frame["extractor"].unique())
    label = heading(metric, extractors)
    title = f"{label} in {', '.join(extractors)} features"
    if metric == "fid" and label == METRICS["fid"].elsewhere:
        title += " (not an Inception FID)"
    elif metric == "fid":
        title = f"{label} (Inception-v3 features)"
    trainings = (frame["n_seeds"] - frame["n_failed"]).tolist()
    shown = spread(trainings, bool(frame[f"{metric}_error"].notna().any()))
    better = "lower" if METRICS[metric].lower_is_better else "higher"
    parts = [
        f"{title}, {better} is better; {shown}",
        absent(results.scores, [metric]),
        sample_counts(frame),
        "in brackets the published value" if frame["published"].notna().any() else "",
    ]
    return Made(frame, _metric_layout(frame, metric, results), sentence(parts))


def metric_frame(metric: str, results: Results) -> pd.DataFrame:
    """One row for each data set, protocol and model: mean and standard deviation over seeds.

    `<metric>_std` (n - 1) is missing for a single seed; `<metric>_error` is the sampling error of
    one trained model, the mean over seeds. A metric's limit for infinitely many samples, if there
    is one (fid_infinity), stands beside it. Nothing is multiplied. Rows keep the order of the
    scores; `runs` lists the digests of a row's runs.
    """
    groups: dict[tuple[object, ...], list[Score]] = {}
    for score in results.scores:
        groups.setdefault(tuple(getattr(score, key) for key in KEYS), []).append(score)
    names = [metric, *(name for name in [f"{metric}_infinity"] if name in METRICS)]
    rows = []
    for keys, group in groups.items():
        row: dict[str, object] = dict(zip(KEYS, keys, strict=True))
        for name in names:
            found = [score.metrics.get(name, UNKNOWN) for score in group]
            values, errors = (pd.Series(part, dtype=float) for part in zip(*found, strict=True))
            row |= {name: values.mean(), f"{name}_std": values.std()}
            row[f"{name}_error"] = errors.mean()
        row |= {
            "n_seeds": len(group),
            "n_failed": sum(score.status != "ok" for score in group),
            "status": _statuses(group),
            **published_for(row, metric, results.published),
            **{key: _first_known(group, key) for key in CONSTANT},
            "experiment": results.experiment,
            "runs": " ".join(score.run[:10] for score in group),
        }
        rows.append(row)
    return whole_counts(pd.DataFrame(rows))


def _first_known(group: Sequence[Score], field: str) -> object:
    values = (getattr(score, field) for score in group)
    return next((value for value in values if value is not None), None)


def _statuses(group: Sequence[Score]) -> str:
    """'ok', or what became of the other runs, as in '1 missing, 2 NaN'."""
    words = [STATUS_WORDS.get(s.status, s.status) for s in group if s.status != "ok"]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or "ok"


def _metric_layout(frame: pd.DataFrame, metric: str, results: Results) -> pd.DataFrame:
    """Models down, data sets across; cells as text, published values in brackets."""
    # One meaning of ± in a table.
    shown = "std" if (frame["n_seeds"] - frame["n_failed"]).max() > 1 else "error"
    texts = []
    for row in frame.to_dict("records"):
        text = cell(row[metric], row[f"{metric}_{shown}"], metric)
        if pd.isna(row[metric]) and row["n_failed"] < row["n_seeds"]:
            # Scored, but not by this metric.
            text = "—"
        elif row["n_failed"] == row["n_seeds"]:
            # All in the same way: the word alone.
            counts = row["status"].split(", ")
            text = counts[0].partition(" ")[2] if len(counts) == 1 else row["status"]
        if not pd.isna(row["published"]):
            text += f" ({scaled(row['published'], metric)})"
        if 0 < row["n_failed"] < row["n_seeds"]:
            text += f", {row['status']}"
        texts.append(text)
    cells = frame.assign(
        Model=row_names(frame, results, "protocol"),
        column=frame["dataset"] + " " + frame["resolution"].astype(str) + " px",
        cell=texts,
    )
    table = cells.pivot(index="Model", columns="column", values="cell")
    return table.loc[cells["Model"].unique(), cells["column"].unique()].fillna("—")


TABLES.register("scores", Table(scores_table))
