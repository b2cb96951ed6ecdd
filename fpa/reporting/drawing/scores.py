"""Scores by model and data set, and over the number of painting steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpa.core.errors import UserError
from fpa.evaluation.metrics import METRICS
from fpa.reporting.drawing.theme import (
    MISSING,
    TEXT_WIDTH,
    Labels,
    empty_panel,
    model_colours,
    model_markers,
    shared_legend,
)
from fpa.reporting.measures import drawn_metrics, heading, measure


def _panels(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """(protocol, metric) of each row of panels: the drawn metrics that were measured, in order."""
    return [
        (protocol, metric)
        for protocol in scores["protocol"].unique()
        for metric in drawn_metrics()
        if ((scores["protocol"] == protocol) & (scores["metric"] == metric)).any()
    ]


def _panel_title(scores: pd.DataFrame, protocol: str, metric: str) -> str:
    """What a metric is called in a protocol's features."""
    extractors = scores.loc[scores["protocol"] == protocol, "extractor"]
    name = heading(metric, measure(metric, extractors), "×")
    return f"{name}\n({protocol})" if scores["protocol"].nunique() > 1 else name


def mean_and_error(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row for each model: mean over seeds and error."""
    rows = scores[scores["metric"] == metric]
    factor = METRICS[metric].scale
    values = rows.assign(value=factor * rows["value"], error=factor * rows["error"])
    grouped = values.groupby("model", sort=False)
    points = pd.DataFrame({"mean": grouped["value"].mean(), "spread": grouped["value"].std()})
    # Of one seed only the error of sampling is known. Bars of one figure are of one kind.
    several = scores["seed"].nunique() > 1
    points["error"] = points["spread"] if several else grouped["error"].mean()
    return points


def score_panels(scores: pd.DataFrame, seeds: Sequence[int], labels: Labels) -> Figure:
    """Every metric (rows) on every data set (columns): one point for each model with its error bar.

    `scores` as in scores.csv. The bar is the standard deviation over seeds, or with a single seed
    the standard error of sampling where that is known. What is missing, failed or NaN is named.
    """
    colours = model_colours(list(labels))
    panels, datasets, order = _panels(scores), list(scores["dataset"].unique()), list(labels)
    line = 0.16 * len(order) + 0.45
    width = min(TEXT_WIDTH, 1.9 * len(datasets) + 1.6)
    figure, grid = plt.subplots(
        max(len(panels), 1),
        len(datasets),
        figsize=(width, line * max(len(panels), 1) + 0.3),
        squeeze=False,
        sharey=True,
    )
    if not panels:
        empty_panel(grid[0, 0], "no run has a finite score")
    for row, (protocol, metric) in zip(grid, panels, strict=False):
        for ax, dataset in zip(row, datasets, strict=True):
            here = scores[(scores["dataset"] == dataset) & (scores["protocol"] == protocol)]
            points = mean_and_error(here, metric)
            # Every seed as a tick; the bars come from `mean_and_error`, which knows sampling errors too.
            sns.stripplot(
                here[here["metric"] == metric].eval(f"value = {METRICS[metric].scale} * value"),
                x="value",
                y="model",
                hue="model",
                order=order,
                hue_order=order,
                palette=colours,
                marker="|",
                linewidth=1,
                alpha=0.7,
                jitter=False,
                legend=False,
                ax=ax,
            )
            ax.set(xlabel="", ylabel="")
            for place, model in enumerate(order):
                rows = here[here["model"] == model]
                _point(ax, place, rows, points, metric, seeds, colours[model])
            sns.despine(ax=ax, left=True)
            ax.grid(axis="y", linewidth=0.4, color="0.9")
            ax.tick_params(axis="y", length=0)
            ax.margins(x=0.15)
            ax.locator_params(axis="x", nbins=3)
        row[0].set_yticks(range(len(order)), list(labels.values()))
        row[0].set_ylim(len(order) - 0.5, -0.5)
        row[0].set_ylabel(_panel_title(scores, protocol, metric))
    for ax, dataset in zip(grid[0], datasets, strict=True):
        size = scores.loc[scores["dataset"] == dataset, "resolution"].iloc[0]
        ax.set_title(f"{dataset}\n{size} px" if len(datasets) > 4 else f"{dataset} {size} px")
    figure.align_ylabels(grid[:, 0])
    return figure


def _point(
    ax: Axes,
    place: int,
    rows: pd.DataFrame,
    points: pd.DataFrame,
    metric: str,
    seeds: Sequence[int],
    colour: tuple,
) -> None:
    """One model's mean and error bar, or the word for why there is none."""
    values = rows.loc[rows["metric"] == metric, "value"].dropna() * METRICS[metric].scale
    if len(values):
        point = points.loc[rows["model"].iloc[0]]
        error = None if pd.isna(point["error"]) else point["error"]
        bar: dict[str, Any] = {"fmt": "o", "color": colour, "capsize": 2, "markersize": 4}
        ax.errorbar(point["mean"], place, xerr=error, **bar)
    bad = why_not(rows, metric, seeds)
    if bad:
        x, side, text = (1, "right", f"({bad})") if len(values) else (0.5, "center", bad)
        where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "ha": side, "va": "center"}
        ax.text(x, place, text, **where, color=MISSING, size=6)


def why_not(rows: pd.DataFrame, metric: str, seeds: Sequence[int]) -> str:
    """'missing', 'failed', 'NaN 2×' ... of one model's runs; empty when every seed has its score."""
    of_metric = rows[(rows["metric"] == metric) | rows["metric"].isna()].drop_duplicates("seed")
    unknown = (of_metric["status"] == "ok") & of_metric["value"].isna()
    states = of_metric["status"].mask(unknown, "nan").set_axis(of_metric["seed"])
    found = [states.get(seed, "missing") for seed in seeds]
    bad = pd.Series([state for state in found if state != "ok"], dtype=str).replace("nan", "NaN")
    counts = bad.value_counts(sort=False).items()
    return ", ".join(f"{state} {n}×" if len(seeds) > 1 else str(state) for state, n in counts)


def metric_over_steps(scores: pd.DataFrame, steps: Mapping[str, int], labels: Labels) -> Figure:
    """An ablation: metrics (rows) over the painters' number of steps, on every data set."""
    colours, markers = model_colours(list(labels)), model_markers(list(labels))
    scores = scores[scores["model"].isin(steps)]
    panels, datasets = _panels(scores), list(scores["dataset"].unique())
    if not panels:
        raise UserError("none of the models with different steps has a score")
    width = min(TEXT_WIDTH, 2.4 * len(datasets) + 1)
    figure, grid = plt.subplots(
        len(panels),
        len(datasets),
        figsize=(width, 1.7 * len(panels) + 0.5),
        squeeze=False,
        sharex=True,
    )
    every = sorted(set(steps.values()))
    for row, (protocol, metric) in zip(grid, panels, strict=True):
        for ax, dataset in zip(row, datasets, strict=True):
            here = scores[(scores["dataset"] == dataset) & (scores["protocol"] == protocol)]
            points = mean_and_error(here, metric).dropna(subset="mean")
            points = points.assign(steps=points.index.map(steps)).sort_values("steps")
            ax.plot(points["steps"], points["mean"], color="0.8", linewidth=1, zorder=0)
            for name, point in points.iterrows():
                model = str(name)
                error = None if pd.isna(point["error"]) else point["error"]
                bar: dict[str, Any] = {"fmt": markers[model], "color": colours[model], "capsize": 2}
                label = labels[model]
                ax.errorbar(point["steps"], point["mean"], error, label=label, markersize=4, **bar)
            gone = [labels[m] for m in steps if m not in points.index]
            if gone:
                where: dict[str, Any] = {"transform": ax.transAxes, "ha": "right", "va": "top"}
                text = f"no score: {', '.join(gone)}"
                ax.text(0.98, 0.97, text, **where, color=MISSING, size=6)
            ax.set_xscale("log", base=2)
            ax.set_xticks(every, [str(step) for step in every])
            ax.minorticks_off()
            ax.margins(x=0.15, y=0.15)
        row[0].set_ylabel(_panel_title(scores, protocol, metric))
    for ax, dataset in zip(grid[0], datasets, strict=True):
        ax.set_title(dataset)
    shared_legend(figure, grid.flat)
    figure.supxlabel("painting steps", size=8)
    return figure
