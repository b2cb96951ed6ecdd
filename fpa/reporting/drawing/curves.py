"""Losses and quick scores over training."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from fpa.reporting.drawing.theme import (
    TEXT_WIDTH,
    Labels,
    empty_panel,
    model_colours,
    model_markers,
    shared_legend,
)

Histories = Sequence[tuple[str, int, pd.DataFrame]]
"""(model, seed, history) of each run."""


def training_curves(histories: Histories, labels: Labels) -> Figure:
    """Losses over training: one line a run, one colour a model."""
    colours = model_colours(list(labels))
    panels = {
        "d_loss": "discriminator loss",
        "g_loss": "generator loss",
        "reconstruction": "reconstruction MSE",
    }
    figure, grid = plt.subplots(1, 3, figsize=(TEXT_WIDTH, 2.3), sharex=True)
    for ax, (column, title) in zip(grid, panels.items(), strict=True):
        for model, _, history in histories:
            if column in history:
                line = history[["kimg", column]].replace([np.inf, -np.inf], np.nan).dropna()
                ax.plot(
                    line["kimg"],
                    line[column],
                    color=colours[model],
                    linewidth=0.9,
                    label=labels[model],
                )
        ax.set(title=title, xlabel="real images shown (thousands)")
        if column == "reconstruction":
            ax.set_yscale("log")
    shared_legend(figure, grid)
    return figure


QUICK = {"fid": "Fréchet distance", "precision": "precision", "recall": "recall"}
"""Columns of a history that a quick score fills, and what they are called."""


def progress(histories: Histories, labels: Labels, extractor: str) -> Figure:
    """Quick scores over training: mean over seeds, the band from the lowest to the highest seed.

    A dotted line is the frozen generator that a model refines, at every budget.
    """
    frames = [
        history.reindex(columns=["kimg", *QUICK, *(f"unrefined_{name}" for name in QUICK)]).assign(
            model=labels[model], seed=seed
        )
        for model, seed, history in histories
        if "fid" in history
    ]
    if not frames:
        figure, ax = plt.subplots(figsize=(0.75 * TEXT_WIDTH, 3))
        empty_panel(ax, "no run was scored while it trained (training.watch_kimg)")
        return figure
    frame = pd.concat(frames).replace([np.inf, -np.inf], np.nan)
    figure, panels = plt.subplots(1, 3, figsize=(TEXT_WIDTH, 2.6), sharex=True)
    for ax, (name, title) in zip(panels, QUICK.items(), strict=True):
        _panel(ax, frame, name, labels)
        ax.set(title=title, xlabel="real images shown (thousands)", ylabel="")
    panels[0].set(yscale="log", ylabel=f"{extractor} features")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].yaxis.set_minor_formatter("")
    for ax in panels[1:]:
        ax.set_ylim(bottom=0)
    shared_legend(figure, panels)
    return figure


def _panel(ax: Axes, frame: pd.DataFrame, name: str, labels: Labels) -> None:
    """One column of the histories over training."""
    drawn = frame.dropna(subset=[name])
    there = [label for label in labels.values() if label in set(drawn["model"])]
    colours, markers = (
        dict(zip(labels.values(), by_model(list(labels)).values(), strict=True))
        for by_model in (model_colours, model_markers)
    )
    if there:
        sns.lineplot(
            drawn,
            x="kimg",
            y=name,
            hue="model",
            style="model",
            hue_order=there,
            style_order=there,
            palette={label: colours[label] for label in there},
            markers={label: markers[label] for label in there},
            dashes=False,
            errorbar=("pi", 100),
            markeredgewidth=0,
            markersize=4,
            legend=False,
            ax=ax,
        )
        for label in there:
            ax.plot([], color=colours[label], marker=markers[label], markersize=4, label=label)
    before = frame.groupby("model")[f"unrefined_{name}"].mean().dropna()
    for model, value in before.items():
        ax.axhline(value, color=colours[str(model)], linestyle=":", linewidth=1)
