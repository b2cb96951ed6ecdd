"""How a painting comes about: keys and values as heat maps, and numbers over the steps."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fpa.evaluation.trace import Trace, statistics
from fpa.reporting.drawing.pictures import chosen_steps
from fpa.reporting.drawing.theme import (
    MISSING,
    POSITIVE,
    SIGNED,
    STEPS,
    TEXT_WIDTH,
    Labels,
    model_colours,
    model_markers,
    remove_frame,
    set_padding,
    shared_legend,
    show_image,
)

BAND = (10, 90)
"""Percentiles of the paintings that a band covers."""

QUANTITIES = {
    "rate": "learning rate $b_t$",
    "norm": "norm of the update",
    "share": "share of the image",
    "explained": "explained so far",
    "rank": "rank of the image",
    "effective_rank": "effective rank",
}
"""Panels of numbers over steps, as `fpa.evaluation.trace.statistics` names them."""


def keys_and_values(trace: Trace, paintings: Sequence[int]) -> Figure:
    """Each image with the keys and the values of its rank-1 updates.

    Keys lie below the image, one row a step, over the image's columns; values beside it, one
    column a step, along the image's rows; in the corner the learning rates. Colour images come
    apart into their channels, which are painted separately.
    """
    channels = trace["right"].shape[1]
    shown = [(n, c) for n in paintings if n < len(trace["right"]) for c in range(channels)]
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    width = TEXT_WIDTH / 3
    figure, grid = plt.subplots(
        2 * down,
        2 * across,
        figsize=(width * across, width * down),
        width_ratios=[3, 2] * across,
        height_ratios=[3, 2] * down,
        squeeze=False,
    )
    set_padding(figure, w_pad=0.03, h_pad=0.02, wspace=0, hspace=0)
    for ax in grid.flat:
        ax.axis("off")
    for i, (n, c) in enumerate(shown):
        row, column = 2 * (i // across), 2 * (i % across)
        name = f"painting {n + 1}" + (f", {'red green blue'.split()[c]}" if channels == 3 else "")
        _draw_channel(
            grid[row : row + 2, column : column + 2],
            {part: trace[part][n, c] for part in ("right", "values", "rates", "painted")},
            name,
        )
    return figure


def _draw_channel(axes: np.ndarray, trace: Trace, name: str) -> None:
    """One channel: image, keys (`right`, (T, D)), values (T, D) and rates (T, ...)."""
    keys, values, rates = trace["right"], trace["values"], trace["rates"].mean(axis=-1)
    for ax in axes.flat:
        ax.axis("on")
    (image, beside), (below, corner) = axes
    show_image(image, trace["painted"][None].clip(0, 1))
    image.set_aspect("auto")
    image.set_title(name, pad=3)
    bound = max(np.abs(values).max(), 1e-12)
    heat = {"aspect": "auto", "interpolation": "nearest"}
    beside.imshow(values.T, cmap=SIGNED, vmin=-bound, vmax=bound, **heat)
    beside.set_title(f"values (±{bound:.2g})", pad=3)
    lowest = min(keys.min(), 0)
    if lowest < 0:
        below.imshow(keys, cmap=SIGNED, vmin=-np.abs(keys).max(), vmax=np.abs(keys).max(), **heat)
    else:
        below.imshow(keys, cmap=POSITIVE, vmin=0, **heat)
    below.set_xlabel(f"keys (to {np.abs(keys).max():.2g})", labelpad=2, size=8)
    for ax in (beside, below):
        remove_frame(ax)
    below.set_ylabel("← step", labelpad=2, size=7)
    steps = np.arange(1, len(rates) + 1)
    corner.plot(steps, rates, color="0.25", linewidth=1)
    corner.set_xlim(0.5, len(rates) + 0.5)
    corner.set_ylim(min(0, rates.min()), 1.05 * max(1, rates.max()))
    corner.tick_params(labelsize=6, pad=1, length=2)
    corner.yaxis.tick_right()
    corner.spines[["left"]].set_visible(False)
    corner.spines[["right"]].set_visible(True)
    corner.xaxis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=2))
    corner.set_xlabel("rate $b_t$ at step", labelpad=2, size=8)


def dynamics(
    trace: Trace, many: Mapping[str, np.ndarray], paintings: Sequence[int], colour: tuple
) -> Figure:
    """Numbers over the steps of one painter: some paintings, and the mean and band of many.

    The last panels show the singular values of the partial images: on average at some steps, and
    at all steps as a map.
    """
    single = statistics(trace)
    paintings = [n for n in paintings if n < len(single["rate"])]
    figure, grid = plt.subplots(3, 3, figsize=(TEXT_WIDTH, 5.2))
    panels = list(grid.flat)
    for ax, (name, title) in zip(panels, QUANTITIES.items(), strict=False):
        steps = _band(ax, many[name], colour, label=f"mean of {len(many[name])}, 10 to 90 %")
        for i, n in enumerate(paintings):
            dashes = ("-", "--", ":", "-.")[i % 4]
            ax.plot(steps, single[name][n], dashes, color="0.25", lw=0.7, label=f"painting {n + 1}")
        ax.set_title(title)
    _spectra(figure, panels[6], panels[7], many["spectrum"])
    for ax in [*panels[:6], panels[7]]:
        ax.set_xlabel("step")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[8].axis("off")
    panels[8].legend(*panels[0].get_legend_handles_labels(), loc="center")
    return figure


def _band(
    ax: Axes, values: np.ndarray, colour: tuple, label: str, marker: str | None = None
) -> np.ndarray:
    """Mean line and percentile band of (N, T) values over the steps, which are returned."""
    steps = np.arange(1, values.shape[1] + 1)
    every = max(1, len(steps) // 8)
    ax.fill_between(steps, *np.percentile(values, BAND, axis=0), color=colour, alpha=0.25, lw=0)
    ax.plot(steps, values.mean(axis=0), color=colour, label=label, marker=marker, markevery=every)
    return steps


FLOOR = 1e-4
"""Smaller singular values, relative to the largest one, are not drawn."""


def _spectra(figure: Figure, lines: Axes, heat: Axes, spectrum: np.ndarray) -> None:
    """Mean singular values (N, T, D) -> (T, D) as lines at some steps and as a map of all."""
    mean = spectrum.mean(axis=0)
    steps, size = mean.shape
    place = np.arange(1, size + 1)
    shown = chosen_steps(steps, 5)
    for step in shown:
        values = np.where(mean[step] > FLOOR, mean[step], np.nan)
        colour = plt.get_cmap(STEPS)(step / max(steps - 1, 1) * 0.9)
        lines.plot(place, values, color=colour, marker="o", markersize=2, label=f"{step + 1}")
    lines.set(yscale="log", xlabel="index", title="singular values")
    lines.legend(
        title="step", ncols=2, handlelength=0.8, columnspacing=0.8, fontsize=6, title_fontsize=6
    )
    picture = heat.imshow(
        np.where(mean > FLOOR, mean, np.nan).T,
        norm=LogNorm(FLOOR, max(1.0, float(mean.max()))),
        cmap=POSITIVE,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(0.5, steps + 0.5, 0.5, size + 0.5),
    )
    heat.set(title="singular values, all steps", ylabel="index")
    figure.colorbar(picture, ax=heat, pad=0.02).ax.tick_params(labelsize=6)


def step_statistics(
    found: Mapping[str, Mapping[str, Mapping[str, np.ndarray] | None]], labels: Labels
) -> Figure:
    """Mean and band over many paintings: data sets down, quantities across, one colour a model."""
    colours, markers = model_colours(list(labels)), model_markers(list(labels))
    names = ["rate", "norm", "explained", "effective_rank"]
    figure, grid = plt.subplots(
        len(found),
        len(names),
        figsize=(TEXT_WIDTH, 1.25 * len(found) + 0.7),
        sharex="row",
        sharey="col",
        squeeze=False,
    )
    for row, (dataset, models) in zip(grid, found.items(), strict=True):
        for ax, name in zip(row, names, strict=True):
            for model, many in models.items():
                if many is not None:
                    _band(ax, many[name], colours[model], labels[model], markers[model])
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        missing = [f"{labels[model]}: missing" for model, many in models.items() if many is None]
        row[0].set_ylabel("\n".join([dataset, *missing]))
        row[0].yaxis.label.set_color(MISSING if missing else "black")
    for ax, name in zip(grid[0], names, strict=True):
        ax.set_title(QUANTITIES[name])
    for ax in grid[-1]:
        ax.set_xlabel("step")
    figure.align_ylabels(grid[:, 0])
    shared_legend(figure, grid.flat)
    return figure
