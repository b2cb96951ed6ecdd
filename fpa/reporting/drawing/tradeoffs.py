"""The Fréchet distance over what a model costs."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpa.reporting.drawing.scores import mean_and_error
from fpa.reporting.drawing.theme import (
    TEXT_WIDTH,
    Labels,
    empty_panel,
    model_colours,
    model_markers,
)

SPREAD = 4
"""The largest distance over the smallest beyond which distances are drawn on a logarithmic scale."""
WIDE, HIGH = 14, 6
"""Room for a number beside a point, in points of 1/72 inch."""
LINE = {"arrowstyle": "-", "linewidth": 0.4, "color": "grey", "shrinkA": 0, "shrinkB": 0}
"""From a point to its number, where that had to move."""
COSTS = {"parameters": "generator parameters (millions)", "minutes": "one training (minutes)"}


def tradeoffs(scores: pd.DataFrame, models: pd.DataFrame, labels: Labels) -> Figure:
    """A row for each data set, a panel for each cost; one numbered point for each model.

    `scores` as in scores.csv, of one protocol; `models` as in models.csv.
    """
    costs = models.assign(
        parameters=models["generator_parameters"] / 1e6,
        minutes=1000 * models["kimg"] / models["training_images_per_second"] / 60,
    )
    datasets = list(scores["dataset"].unique())
    figure, grid = plt.subplots(
        len(datasets),
        len(COSTS),
        figsize=(TEXT_WIDTH, max(2.6 * len(datasets), 0.14 * len(labels) + 0.4)),
        squeeze=False,
        sharey="row",
    )
    for axes, dataset in zip(grid, datasets, strict=True):
        here = scores[scores["dataset"] == dataset]
        points = mean_and_error(here, "fid").dropna(subset="mean")
        points = points.join(costs[costs["dataset"] == dataset].set_index("model")[list(COSTS)])
        for ax, cost in zip(axes, COSTS, strict=True):
            _panel(ax, points.dropna(subset=cost), cost, labels)
        axes[0].set_ylabel(
            f"Fréchet distance, {dataset}" if len(datasets) > 1 else "Fréchet distance"
        )
    for ax, cost in zip(grid[-1], COSTS, strict=True):
        ax.set_xlabel(COSTS[cost])
    colours, markers = model_colours(list(labels)), model_markers(list(labels))
    handles = [
        plt.Line2D([], [], color=colours[m], marker=markers[m], linestyle="", markersize=4)
        for m in labels
    ]
    names = [f"{number}  {label}" for number, label in enumerate(labels.values(), start=1)]
    figure.legend(handles, names, loc="outside right upper", handletextpad=0.1)
    return figure


def _panel(ax: Axes, points: pd.DataFrame, cost: str, labels: Labels) -> None:
    """One point for each model with its error bar and its number."""
    if points.empty:
        empty_panel(ax, "no model has a score and a cost")
        return
    colours, markers = model_colours(list(labels)), model_markers(list(labels))
    ax.set_xscale("log")
    if points["mean"].max() > SPREAD * points["mean"].min():
        # One model that fails must not press all others together.
        ax.set_yscale("log")
    for name, point in points.iterrows():
        model = str(name)
        error = None if pd.isna(point["error"]) else point["error"]
        style: dict[str, Any] = {"fmt": markers[model], "color": colours[model], "capsize": 1.5}
        ax.errorbar(point[cost], point["mean"], error, markersize=4, elinewidth=0.7, **style)
    low, high = points[cost].min(), points[cost].max()
    middle = np.sqrt(low * high)
    # At least a factor of two wide, so that equal costs look equal.
    ax.set_xlim(min(low * 0.9, middle / 1.5), max(high * 1.12, middle * 1.5))
    ticks = _steps(*ax.get_xlim())
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    if ax.get_yscale() == "log":
        rungs = _steps(*ax.get_ylim())
        ax.set_yticks(rungs, [f"{t:g}" for t in rungs])
    numbers = [str(list(labels).index(str(model)) + 1) for model in points.index]
    _write_beside(ax, list(zip(numbers, points[cost], points["mean"], strict=True)))


def _write_beside(ax: Axes, texts: Sequence[tuple[str, float, float]]) -> None:
    """A text beside each point (text, x, y); one that would cover another moves up, on a thin line."""
    placed: list[tuple[float, float]] = []
    scale = 72 / ax.figure.dpi
    for text, x, y in sorted(texts, key=lambda one: one[2]):
        at = ax.transData.transform((x, y)) * scale  # in points
        height = at[1]
        for across, up in placed:
            if abs(across - at[0]) < WIDE:
                height = max(height, up + HIGH)
        placed.append((at[0], height))
        moved = height - at[1]
        ax.annotate(
            text,
            (x, y),
            xytext=(5 + min(moved, 9), 2 + moved),
            textcoords="offset points",
            size=6,
            arrowprops=LINE if moved > 1 else None,
        )


def _steps(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between two numbers."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [d * 10.0**p for p in powers for d in (1, 2, 5) if low <= d * 10.0**p <= high]
    return found or [round((low * high) ** 0.5, 3)]
