"""The table of comparisons: which differences between models exceed the spread of their trainings.

Every pair of models, for each data set, protocol and metric, by Welch's t-test over trainings:
models may vary differently from training to training, and trainings of one seed share nothing
across models, so that nothing can be paired. Holm's correction holds for all pairs of a data set,
protocol and metric together. An exact permutation test would assume less, but of five trainings
against five its smallest p is 2 / 252 = 0.008, which is never significant among ten pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from fpa.core.lazy import pd
from fpa.evaluation.metrics import METRICS
from fpa.reporting.measures import heading, measure
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import sentence
from fpa.reporting.tables.tidy import tidy_scores

FEWEST = 3
"""Trainings of a model without which its spread is not known well enough to compare."""
LEVEL = 0.05
KEYS = ["dataset", "resolution", "protocol", "extractor", "metric"]
COLUMNS = [
    *KEYS,
    *("model_a", "model_b", "mean_a", "mean_b", "n_a", "n_b"),
    *("difference", "low", "high", "p", "p_holm", "better", "verdict", "experiment"),
]
NO_DIFFERENCE = "no difference shown"
TOO_FEW = "too few trainings"


class Difference(NamedTuple):
    """Mean of one sample minus mean of another."""

    value: float
    low: float
    high: float
    """Ends of its 95% interval."""
    p: float
    """Two-sided; NaN, with the interval, where neither sample varies."""


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Welch's t-test (1947) of two samples of at least two numbers each."""
    from scipy.stats import t

    means, errors, sizes = [], [], []
    for sample in (a, b):
        mean = _mean(sample)
        variance = sum((x - mean) ** 2 for x in sample) / (len(sample) - 1)
        means.append(mean)
        errors.append(variance / len(sample))
        sizes.append(len(sample))
    value, error = means[0] - means[1], math.sqrt(sum(errors))
    if error == 0:
        return Difference(value, math.nan, math.nan, math.nan)
    # Welch-Satterthwaite.
    freedom = error**4 / sum(e**2 / (n - 1) for e, n in zip(errors, sizes, strict=True))
    half = error * float(t.ppf(1 - LEVEL / 2, freedom))
    p = 2 * float(t.sf(abs(value) / error, freedom))
    return Difference(value, value - half, value + half, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the same order; NaN stays out."""
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[i] = largest
    return corrected


def pairwise_frame(tidy: pd.DataFrame) -> pd.DataFrame:
    """One row for each data set, protocol, metric and pair of models; none for fewer than 3 seeds.

    tidy: as `tidy_scores` makes it. Values are plain, differences A - B. Runs that are missing or NaN
    are left out, and a model with fewer than 3 trainings left has no p.
    """
    rows: list[dict[str, Any]] = []
    if tidy["seed"].nunique() >= FEWEST:
        models = list(tidy["model"].unique())
        known = tidy[tidy["metric"].isin(list(METRICS))].dropna(subset="value")
        order = {name: place for place, name in enumerate(METRICS)}
        # By metric in the registry's order; data sets and protocols stay as they are.
        known = known.sort_values("metric", key=lambda names: names.map(order), kind="stable")
        for keys, group in known.groupby(KEYS, sort=False):
            values = {m: group.loc[group["model"] == m, "value"].tolist() for m in models}
            family = _family(values, METRICS[str(keys[-1])].lower_is_better)
            rows += [dict(zip(KEYS, keys, strict=True)) | row for row in family]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(experiment=tidy["experiment"].iloc[0])


def _family(values: Mapping[str, list[float]], lower_is_better: bool) -> list[dict[str, Any]]:
    """All pairs of models by one metric, corrected together."""
    pairs = list(combinations(values, 2))
    found = [_difference(values[a], values[b]) for a, b in pairs]
    corrected = holm([one.p for one in found])
    rows = []
    for (a, b), one, p in zip(pairs, found, corrected, strict=True):
        better = ""
        if p < LEVEL:
            better = a if (one.value < 0) == lower_is_better else b
        few = min(len(values[a]), len(values[b])) < FEWEST
        verdict = TOO_FEW if few else f"{better} is better" if better else NO_DIFFERENCE
        row = {"model_a": a, "model_b": b, "mean_a": _mean(values[a]), "mean_b": _mean(values[b])}
        row |= {"n_a": len(values[a]), "n_b": len(values[b]), "difference": one.value}
        row |= {"low": one.low, "high": one.high, "p": one.p, "p_holm": p}
        rows.append(row | {"better": better, "verdict": verdict})
    return rows


def _difference(a: list[float], b: list[float]) -> Difference:
    if min(len(a), len(b)) >= FEWEST:
        return welch(a, b)
    return Difference(_mean(a) - _mean(b), math.nan, math.nan, math.nan)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if len(values) else math.nan


def pairwise_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The same as text, of the metrics that have a table to themselves."""
    if frame.empty:
        return pd.DataFrame({"verdict": [TOO_FEW]}, pd.Index(["every pair"], name="A"))
    shown = frame[frame["metric"].map(lambda name: METRICS[name].table)]
    columns: dict[str, list[str]] = {}

    def put(column: str, text: str) -> None:
        columns.setdefault(column, []).append(text)

    names = []
    for row in shown.to_dict("records"):
        metric = METRICS[row["metric"]]
        a, b = (labels.get(row[key], row[key]) for key in ("model_a", "model_b"))
        names.append(a)
        put("B", b)
        for key in ("dataset", "protocol"):
            if frame[key].nunique() > 1:
                put(key.replace("dataset", "data set"), row[key])
        put("metric", heading(row["metric"], measure(row["metric"], [row["extractor"]]), "x"))
        low, value, high = (
            "—" if pd.isna(row[key]) else f"{metric.scale * row[key]:+.{metric.digits}f}"
            for key in ("low", "difference", "high")
        )
        put("A - B", value)
        put("95% interval", "—" if pd.isna(row["low"]) else f"{low} to {high}")
        for column, key in (("p", "p"), ("p (Holm)", "p_holm")):
            put(column, _p(row[key]))
        better = row["better"]
        put("verdict", f"{labels.get(better, better)} is better" if better else row["verdict"])
    return pd.DataFrame(columns, pd.Index(names, name="A"))


def _p(value: float) -> str:
    return "—" if pd.isna(value) else "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def pairwise_caption(frame: pd.DataFrame, seeds: int, experiment: str) -> str:
    """How models were compared, or why they could not be."""
    if frame.empty:
        trainings = "one training" if seeds == 1 else f"{seeds} trainings"
        parts = [
            f"Comparing models takes at least {FEWEST} trainings (seeds) of each: from {trainings}, a "
            "difference between models cannot be told from the spread between trainings of one model"
        ]
        return sentence(parts, experiment)
    pairs = frame.groupby(KEYS, sort=False).size().max()
    parts = [
        f"Differences between models, of their means over {_numbers(frame)} trainings (seeds) of each",
        "p by Welch's t-test, two-sided, unpaired; p (Holm) corrected for "
        f"the {pairs} pairs of a data set, protocol and metric",
        f"a model is called better where that is below {LEVEL:g}; '{NO_DIFFERENCE}' does not mean "
        "that there is none",
        "the 95% interval is of each difference alone",
    ]
    return sentence(parts, experiment)


def _numbers(frame: pd.DataFrame) -> str:
    counts = {*frame["n_a"], *frame["n_b"]}
    return str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def build(request: Request) -> Built:
    """The table of comparisons."""
    tidy = tidy_scores(request.entries, request.experiment)
    frame = pairwise_frame(tidy)
    caption = pairwise_caption(frame, tidy["seed"].nunique(), request.experiment)
    return frame, pairwise_layout(frame, request.labels), caption
