"""The table of all scores: models down, metrics across."""

from collections.abc import Mapping

import pandas as pd

from fpa.evaluation.metrics import METRICS
from fpa.reporting.measures import heading
from fpa.reporting.tables.text import STATUS_WORDS, cell, row_names, sample_counts, sentence, spread


def scores_layout(tidy: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models (and data sets, if several) down, metrics across: means over seeds, as text."""
    named = tidy.assign(Model=row_names(tidy, labels))
    if tidy["dataset"].nunique() > 1:
        named["Model"] = named["Model"] + ", " + named["dataset"]
    measured = set(tidy["metric"])
    several = trainings(tidy).max() > 1
    columns = {}
    for name, metric in METRICS.items():
        if name in measured:
            rows = named[named["metric"] == name].groupby("Model", sort=False)
            columns[heading(name, metric.label, "x")] = {
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


def scores_caption(tidy: pd.DataFrame, absent: str = "") -> str:
    """What the columns are, and which are `absent`."""
    extractors = ", ".join(tidy["extractor"].unique())
    parts = [
        f"Every score in {extractors} features",
        spread(trainings(tidy), bool(tidy["error"].notna().any())),
        absent,
        sample_counts(tidy),
    ]
    return sentence(parts, tidy["experiment"].iloc[0])
