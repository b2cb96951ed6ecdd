"""Rank correlations of scores."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpa.reporting.drawing.theme import TEXT_WIDTH, empty_panel
from fpa.reporting.tables.agreement import FEWEST, SCOPES, score_label

AGREE = "RdBu"
"""Blue where scores agree."""
MOST_SLANTED = 5
"""Scores whose names fit side by side aslant."""
DARK = 0.6
"""Correlations from which on a cell's number is white."""


def correlation_panels(table: pd.DataFrame) -> Figure:
    """A triangle of Spearman's correlations for each data set (rows) and scope (columns).

    `table` as in agreement.csv. A panel without a number says so.
    """
    datasets = list(table["dataset"].unique()) or [""]
    figure, grid = plt.subplots(
        len(datasets), len(SCOPES), figsize=(TEXT_WIDTH, 2.4 * len(datasets)), squeeze=False
    )
    for row, dataset in zip(grid, datasets, strict=True):
        for ax, scope in zip(row, SCOPES, strict=True):
            here = table[(table["dataset"] == dataset) & (table["scope"] == scope)]
            title = f"{dataset}: {scope}" if len(datasets) > 1 else scope
            _triangle(ax, here)
            ax.set_title(title)
    return figure


def _triangle(ax: Axes, pairs: pd.DataFrame) -> None:
    known = pairs.dropna(subset="spearman")
    if known.empty:
        most = 0 if pairs.empty else int(pairs["n"].max())
        empty_panel(ax, f"too few to rank:\n{most} found, {FEWEST} needed")
        return
    labels: dict[str, str] = {}
    extractors = {"extractor_a": "", "extractor_b": ""}
    for row in (
        pairs.astype(dict.fromkeys(extractors, object)).fillna(extractors).to_dict("records")
    ):
        for side in "ab":
            name = row[f"score_{side}"]
            labels.setdefault(name, score_label(name, row[f"extractor_{side}"]))
    order = list(labels)
    values = np.full((len(order), len(order)), np.nan)
    for row in known.to_dict("records"):
        values[order.index(row["score_b"]), order.index(row["score_a"])] = row["spearman"]
    # The first score has nothing to its left, the last one nothing below.
    ax.imshow(values[1:, :-1], cmap=AGREE, vmin=-1, vmax=1)
    for (down, across), value in np.ndenumerate(values[1:, :-1]):
        if np.isfinite(value):
            colour = "white" if abs(value) > DARK else "black"
            ax.text(across, down, f"{value:.2f}", ha="center", va="center", color=colour, size=6)
    names = list(labels.values())
    upright = {"rotation": 90} if len(order) > MOST_SLANTED else {"rotation": 40, "ha": "right"}
    ax.set_xticks(range(len(order) - 1), names[:-1], **upright)
    ax.set_yticks(range(len(order) - 1), names[1:])
    ax.tick_params(length=0, labelsize=6)
    ax.spines[:].set_visible(False)
