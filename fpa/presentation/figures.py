"""Figures from saved arrays: paintings, sample grids, before/after pairs, training curves."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fpa.presentation.theme import TEXT_WIDTH, model_colours, show_image
from fpa.presentation.tiles import tile

Arrays = Mapping[str, np.ndarray]
"""The parts of paintings as `fpa.models` names them."""


GAP = 0.12
"""Space between two paintings, in heights of a picture."""


def step_pictures(parts: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Rank-1 updates and partial images (N, T, C, D, D), each scaled as in the paper.

    Every picture is brought to the Frobenius norm of the finished image (before the tanh, over
    all channels) and goes through the tanh where the image does.
    """
    updates = np.einsum("ncti,nctj->ntcij", parts["writes"], parts["keys"])
    partial = updates.cumsum(axis=1)
    if "initial" in parts:
        partial = partial + parts["initial"]
    norm = np.linalg.norm(partial[:, -1].reshape(len(partial), -1), axis=1)

    def scaled(pictures: np.ndarray) -> np.ndarray:
        own = np.linalg.norm(pictures.reshape(*pictures.shape[:2], -1), axis=2)
        factor = norm[:, None] / np.maximum(own, 1e-12)
        pictures = pictures * factor[..., None, None, None]
        return np.tanh(pictures) if parts["tanh"] else pictures

    return scaled(updates), scaled(partial)


def painting_strips(parts: Arrays, paintings: int, most_steps: int) -> Figure:
    """As in the paper: for each painting, the rank-1 updates on top and the partial images below."""
    updates, partial = step_pictures(parts)
    paintings = min(paintings, len(updates))
    steps = updates.shape[1]
    shown = np.unique(np.linspace(0, steps - 1, min(steps, most_steps)).round().astype(int))
    cell = TEXT_WIDTH / (len(shown) + 0.5)
    # Two rows a painting, and a thin empty one between paintings.
    heights = ([1, 1, GAP] * paintings)[:-1]
    figure, axes = plt.subplots(
        len(heights),
        len(shown),
        figsize=(TEXT_WIDTH, cell * (sum(heights) + 0.4)),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    for ax in axes[2::3].flat:
        ax.axis("off")
    for n in range(paintings):
        for column, t in enumerate(shown):
            for row, pictures in enumerate((updates, partial)):
                ax = axes[3 * n + row, column]
                show_image(ax, pictures[n, t].clip(0, 1))
                if row == 0 and n == 0:
                    ax.set_title(f"{t + 1}", pad=2)
        axes[3 * n, 0].set_ylabel("update", fontsize=6)
        axes[3 * n + 1, 0].set_ylabel("image", fontsize=6)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure


def sample_grids(grids: Mapping[str, np.ndarray], count: int) -> Figure:
    """Uncurated images side by side, one titled grid each: real ones first, then every model's."""
    columns = int(np.ceil(np.sqrt(count)))
    across = min(len(grids), 2 if len(grids) in (2, 4) else 3)
    down = -(-len(grids) // across)
    width = TEXT_WIDTH / across
    figure, axes = plt.subplots(
        down, across, figsize=(TEXT_WIDTH, down * (width + 0.2)), squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, images) in zip(axes.flat, grids.items(), strict=False):
        show_image(ax, tile(np.asarray(images[:count]), columns))
        ax.set_title(title)
    return figure


def before_after(parts: Arrays, count: int) -> Figure:
    """Pairs: what the painter painted, and what the U-Net made of it."""
    count = min(count, len(parts["image"]))
    cell = TEXT_WIDTH / max(count, 6)
    figure, axes = plt.subplots(
        2, count, figsize=(cell * count + 0.4, 2 * cell + 0.2), squeeze=False
    )
    for row, name in enumerate(("painted", "image")):
        for column in range(count):
            show_image(axes[row, column], parts[name][column].clip(0, 1))
        axes[row, 0].set_ylabel(("painted", "refined")[row])
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    return figure


def training_curves(
    histories: Sequence[tuple[str, pd.DataFrame]], labels: Mapping[str, str], extractor: str
) -> Figure:
    """Losses and quick Fréchet distance over kimg: one line a run, one colour a model."""
    colours = model_colours(list(labels))
    panels = {
        "d_loss": "discriminator loss",
        "g_loss": "generator loss",
        "reconstruction": "reconstruction MSE",
        "fid": f"quick Fréchet distance\n({extractor})",
    }
    figure, grid = plt.subplots(2, 2, figsize=(TEXT_WIDTH, 4), sharex=True)
    for ax, (column, title) in zip(grid.flat, panels.items(), strict=True):
        named: set[str] = set()
        for model, history in histories:
            if column not in history:
                continue
            line = history[["kimg", column]].dropna()
            ax.plot(
                line["kimg"],
                line[column],
                color=colours[model],
                linewidth=1,
                marker="o" if column == "fid" else None,
                markersize=2.5,
                label=None if model in named else labels[model],
            )
            named.add(model)
        ax.set_ylabel(title)
        if column in ("fid", "reconstruction"):
            ax.set_yscale("log")
    for ax in grid[1]:
        ax.set_xlabel("real images shown (thousands)")
    figure.legend(*grid[1, 1].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    for ax in grid.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure
