"""Losses and quick scores over training."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
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


def progress(histories: Histories, labels: Labels, extractor: str) -> Figure:
    """Quick Fréchet distance over training: mean over seeds, the band from best to worst seed."""
    frames = [
        history[["kimg", "fid"]].assign(model=labels[model], seed=seed)
        for model, seed, history in histories
        if "fid" in history
    ]
    figure, ax = plt.subplots(figsize=(0.75 * TEXT_WIDTH, 3))
    if not frames:
        empty_panel(ax, "no run was scored while it trained (training.watch_kimg)")
        return figure
    frame = pd.concat(frames).replace([np.inf, -np.inf], np.nan).dropna()
    sns.lineplot(
        frame,
        x="kimg",
        y="fid",
        hue="model",
        style="model",
        hue_order=labels.values(),
        style_order=labels.values(),
        palette=list(model_colours(list(labels)).values()),
        markers=list(model_markers(list(labels)).values()),
        dashes=False,
        errorbar=("pi", 100),
        markeredgewidth=0,
        ax=ax,
    )
    ax.set(
        yscale="log",
        xlabel="real images shown (thousands)",
        ylabel=f"quick Fréchet distance\n({extractor})",
    )
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")
    there = set(frame["model"])
    entries = [e for e in zip(*ax.get_legend_handles_labels(), strict=True) if e[1] in there]
    if legend := ax.get_legend():
        legend.remove()
    figure.legend(
        *zip(*entries, strict=True), loc="outside upper center", ncols=min(len(entries), 5)
    )
    return figure
