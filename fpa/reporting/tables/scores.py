"""The table of all scores: models down, metrics across."""

from __future__ import annotations

from collections.abc import Mapping

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
from fpa.reporting.tables.tidy import tidy_scores


def scores_layout(tidy: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models (and data sets, if several) down, metrics across: means over seeds, as text."""
    named = tidy.assign(Model=row_names(tidy, labels))
    if tidy["dataset"].nunique() > 1:
        named["Model"] = named["Model"] + ", " + named["dataset"]
    measured = set(tidy["metric"])
    several = trainings(tidy).max() > 1
    columns = {}
    for name in METRICS:
        if name in measured:
            rows = named[named["metric"] == name].groupby("Model", sort=False)
            columns[heading(name, measure(name, tidy["extractor"]), "x")] = {
                model: cell(
                    group["value"].mean(),
                    group["value"].std() if several else group["error"].mean(),
                    name,
                )
                for model, group in rows
            }
    table = pd.DataFrame(columns, index=pd.Index(named["Model"].unique(), name="Model"))
    statuses = named.groupby("Model", sort=False)["status"].first()
    words = statuses.replace({"ok": "—", **STATUS_WORDS})
    return table.apply(lambda column: column.fillna(words))


def trainings(tidy: pd.DataFrame) -> pd.Series:
    """How many trainings each cell is the mean of."""
    known = tidy.dropna(subset="value")
    return known.groupby(["dataset", "model", "protocol", "metric"])["seed"].nunique()


def _precision_recall(tidy: pd.DataFrame) -> str:
    """Of how many images precision and recall are; empty without them."""
    counts = [f"{n:,}" for n in sorted(tidy["n_precision_recall"].dropna().unique())]
    return f"precision and recall of {' or '.join(counts)} images on either side" if counts else ""


def scores_caption(tidy: pd.DataFrame, left_out: str = "") -> str:
    """What the columns are, and which are `left_out`."""
    extractors = ", ".join(tidy["extractor"].unique())
    parts = [
        f"Every score in {extractors} features",
        spread(trainings(tidy), bool(tidy["error"].notna().any())),
        left_out,
        _precision_recall(tidy),
        sample_counts(tidy),
    ]
    return sentence(parts, tidy["experiment"].iloc[0])


def build(request: Request) -> Built:
    """The table of all scores."""
    frame = tidy_scores(request.entries, request.experiment)
    caption = scores_caption(frame, absent(request.entries, METRICS))
    return frame, scores_layout(frame, request.labels), caption
