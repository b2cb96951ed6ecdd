"""The table of one metric: models down, data sets across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpa.core.lazy import pd
from fpa.evaluation.metrics import METRICS
from fpa.reporting.measures import heading, measure
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import (
    STATUS_WORDS,
    absent,
    cell,
    row_names,
    sample_counts,
    sentence,
    spread,
)
from fpa.reporting.tables.tidy import Entry, whole_counts

KEYS = ["dataset", "resolution", "protocol", "model"]
CONSTANT = [
    *("extractor", "resize", "format", "n_real", "n_fake", "checkpoint", "kimg"),
    "generator_parameters",
]
"""What is the same for all seeds of a row."""


def metric_frame(
    scores: Sequence[Entry],
    metric: str,
    experiment: str,
    published: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row for each data set, protocol and model: mean and standard deviation over seeds.

    `<metric>_std` (n - 1) is missing for a single seed; `<metric>_error` is the sampling error of
    one trained model, the mean over seeds. A metric's limit for infinitely many samples, if there
    is one (fid_infinity), stands beside it. Nothing is multiplied. Rows keep the order of the
    scores; `runs` lists the digests of a row's runs.
    """
    frame = pd.DataFrame(scores)
    names = [metric, *(name for name in [f"{metric}_infinity"] if name in METRICS)]
    rows = []
    for _, group in frame.groupby(KEYS, sort=False):
        row: dict[str, Any] = {key: group[key].iloc[0] for key in KEYS}
        for name in names:
            values, errors = (
                pd.Series([m.get(name, {}).get(part) for m in group["metrics"]], dtype=float)
                for part in ("value", "error")
            )
            row |= {
                name: values.mean(),
                f"{name}_std": values.std(),
                f"{name}_error": errors.mean(),
            }
        row |= {
            "n_seeds": len(group),
            "n_failed": int((group["status"] != "ok").sum()),
            "status": _statuses(group),
            **published_for(row, metric, published),
            **{key: _first_known(group[key]) for key in CONSTANT},
            "experiment": experiment,
            "runs": " ".join(digest[:10] for digest in group["run"]),
        }
        rows.append(row)
    return whole_counts(pd.DataFrame(rows))


def _first_known(values: pd.Series) -> Any:
    """The first value that is known, None if none is."""
    return next(iter(values.dropna()), None)


def _statuses(runs: pd.DataFrame) -> str:
    """'ok', or what became of the other runs, as in '1 missing, 2 NaN'."""
    bad = runs.loc[runs["status"] != "ok", "status"].replace(STATUS_WORDS)
    counts = bad.value_counts(sort=False).items()
    return ", ".join(f"{n} {word}" for word, n in counts) or "ok"


def published_for(
    row: Mapping[str, Any], metric: str, published: pd.DataFrame | None
) -> dict[str, Any]:
    """The published value of a row's data set, protocol and model, and its source."""
    if published is not None:
        wanted = {key: row[key] for key in ("dataset", "model", "protocol")} | {"metric": metric}
        found = published
        for key, value in wanted.items():
            found = found[found[key] == value]
        if len(found):
            return {"published": found["value"].iloc[0], "source": found["source"].iloc[0]}
    return {"published": float("nan"), "source": ""}


def metric_layout(frame: pd.DataFrame, metric: str, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models down, data sets across; cells as text, published values in brackets."""
    scale, digits = METRICS[metric].scale, METRICS[metric].digits
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
            text += f" ({scale * row['published']:.{digits}f})"
        if 0 < row["n_failed"] < row["n_seeds"]:
            text += f", {row['status']}"
        texts.append(text)
    cells = frame.assign(
        Model=row_names(frame, labels),
        column=frame["dataset"] + " " + frame["resolution"].astype(str) + " px",
        cell=texts,
    )
    table = cells.pivot(index="Model", columns="column", values="cell")
    return table.loc[cells["Model"].unique(), cells["column"].unique()].fillna("—")


def metric_caption(frame: pd.DataFrame, metric: str, left_out: str = "") -> str:
    """What the numbers are, in one sentence, or why they are `left_out`."""
    extractors = list(frame["extractor"].unique())
    label = heading(metric, measure(metric, extractors), "x")
    if metric == "fid" and label == METRICS["fid"].label:
        title = f"{label} (Inception-v3 features)"
    elif metric == "fid":
        title = f"{label} in {', '.join(extractors)} features (not an Inception FID)"
    else:
        title = f"{label} in {', '.join(extractors)} features"
    trainings = (frame["n_seeds"] - frame["n_failed"]).tolist()
    shown = spread(trainings, bool(frame[f"{metric}_error"].notna().any()))
    better = "lower" if METRICS[metric].lower_is_better else "higher"
    parts = [f"{title}, {better} is better; {shown}", left_out, sample_counts(frame)]
    if frame["published"].notna().any():
        parts.append("in brackets the published value")
    return sentence(parts, frame["experiment"].iloc[0])


def build(request: Request) -> Built:
    """The table of one metric."""
    metric = request.kind
    frame = metric_frame(request.entries, metric, request.experiment, request.published)
    caption = metric_caption(frame, metric, absent(request.entries, [metric]))
    return frame, metric_layout(frame, metric, request.labels), caption
