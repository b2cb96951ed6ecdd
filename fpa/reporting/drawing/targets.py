"""Images and hours to a target distance."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fpa.reporting.drawing.theme import TEXT_WIDTH, Labels, empty_panel, model_colours


def targets(table: pd.DataFrame, labels: Labels) -> Figure:
    """Models down, a column of panels for images and one for hours; a row for each data set.

    `table` as in targets.csv.
    """
    if table.empty:
        figure, ax = plt.subplots(figsize=(0.75 * TEXT_WIDTH, 3))
        empty_panel(ax, "no run was scored while it trained (training.watch_kimg)")
        return figure
    colours = model_colours(list(labels))
    models = [name for name in labels if name in set(table["model"])]
    datasets = list(table["dataset"].unique())
    figure, grid = plt.subplots(
        len(datasets),
        2,
        figsize=(TEXT_WIDTH, len(datasets) * (0.9 + 0.24 * len(models))),
        sharey=True,
        squeeze=False,
    )
    for axes, dataset in zip(grid, datasets, strict=True):
        rows = table[table["dataset"] == dataset]
        goal = rows["target"].iloc[0]
        for ax, column in zip(axes, ("kimg", "hours"), strict=True):
            for place, model in enumerate(models):
                of_model = rows[rows["model"] == model]
                # Trainings that got there at once would hide each other.
                heights = place + np.linspace(-0.25, 0.25, len(of_model) + 2)[1:-1]
                reached = of_model["kimg"].notna()
                style = {"color": colours[model], "markersize": 4, "linestyle": "", "marker": "o"}
                ax.plot(of_model.loc[reached, column], heights[reached], **style)
                budgets = of_model.loc[~reached, f"budget_{column}"]
                ax.plot(budgets, heights[~reached], fillstyle="none", **style)
            ax.set_xlim(left=0)
            ax.margins(x=0.1)
        named = f"{dataset}, to {goal:.1f}" if len(datasets) > 1 else f"to {goal:.1f}"
        axes[0].set(title=named, xlabel="real images shown (thousands)")
        axes[1].set(title=named, xlabel="hours")
        axes[0].set_yticks(range(len(models)), [labels[name] for name in models])
        axes[0].set_ylim(len(models) - 0.5, -0.5)
    return figure
