"""How images are painted: the rank-1 updates step by step, keys and values, and numbers over the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpa.core.errors import UserError
from fpa.core.lazy import plt
from fpa.data.picture import tile, tiled_picture
from fpa.evaluation.trace import Trace, statistics, step_pictures, to_uint8
from fpa.reporting.figures.base import (
    SCALING,
    Animation,
    Context,
    Spec,
    load,
    load_needed,
    register,
)
from fpa.reporting.figures.theme import (
    MISSING,
    POSITIVE,
    SIGNED,
    STEPS,
    TEXT_WIDTH,
    model_colours,
    model_markers,
    remove_frame,
    set_padding,
    shared_legend,
    show_image,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CATEGORY = "Paintings"

# Step by step, as in the paper ------------------------------------------------------------------


def painting_specs(context: Context) -> Iterator[Spec]:
    for dataset, model in product(context.stores, context.painters):
        yield context.spec(
            "painting",
            dataset,
            model,
            title="painting step by step",
            category=CATEGORY,
            caption=f"{context.labels[model]} painting on {dataset} ({context.training_seed}): "
            "the rank-1 update of each step (top) and the partial image after it (bottom). "
            f"{SCALING} {context.chosen_paintings}.",
            inputs=context.traces(dataset, model),
            options={
                "paintings": context.strips,
                "steps": context.strip_steps,
                "columns": context.shown.strip_columns,
            },
            played=True,
        )


def draw_painting(spec: Spec, results: Path) -> Figure:
    return painting_strips(load_needed(spec.inputs[0], results), **spec.options)


def painting_strips(
    trace: Trace, paintings: Sequence[int], steps: int | Sequence[int], columns: int = 16
) -> Figure:
    """As in the paper: for each painting, the rank-1 updates on top and the partial images below.

    More steps than `columns` go on in further pairs of rows.
    """
    updates, partial = (to_uint8(pictures) for pictures in step_pictures(trace))
    paintings = [n for n in paintings if n < len(updates)]
    shown = chosen_steps(updates.shape[1], steps)
    if not len(shown):
        raise UserError(
            f"figures.strip_steps: none of {steps} is among the painter's {updates.shape[1]} steps"
        )
    lines = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    across = len(lines[0])
    size = updates.shape[-1]
    gap = max(1, size // 16)
    # A few steps are not blown up to the width of the page.
    cell = TEXT_WIDTH / (max(across, 8) + 0.6)
    heading = 0.13
    height = len(paintings) * len(lines) * (2 * cell + heading) + 0.1 * len(paintings)
    rows = list(product(paintings, lines))
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(cell * (across + 0.6), height), squeeze=False
    )
    pitch = size + gap
    for ax, (n, line) in zip(axes.flat, rows, strict=True):
        white = [(0, across - len(line)), (0, 0), (0, 0), (0, 0)]
        both = [np.pad(part[n, line], white, constant_values=255) for part in (updates, partial)]
        show_image(ax, tile(np.concatenate(both), across, gap))
        ax.set_yticks([size / 2, pitch + size / 2], ["update", "image"], rotation=90, va="center")
        for i, step in enumerate(line):
            ax.text(i * pitch + size / 2, -gap, f"{step + 1}", ha="center", va="bottom", size=6)
        ax.tick_params(length=0, labelsize=6, pad=1)
    set_padding(figure, w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure


def chosen_steps(steps: int, wanted: int | Sequence[int]) -> np.ndarray:
    """Which of T steps are shown, from 0: at most so many, spread evenly, or those named (from 1)."""
    if isinstance(wanted, int):
        spread = np.linspace(0, steps - 1, min(steps, wanted)).round().astype(int)
        return np.unique(spread)
    return np.array([step - 1 for step in wanted if 1 <= step <= steps], int)


register("painting", painting_specs, draw_painting)

# Keys and values -------------------------------------------------------------------------------


def keys_specs(context: Context) -> Iterator[Spec]:
    for dataset, model in product(context.stores, context.painters):
        yield context.spec(
            "keys",
            dataset,
            model,
            title="keys and values",
            category=CATEGORY,
            caption=f"Keys and values of {context.labels[model]} on {dataset} "
            f"({context.training_seed}). Below each image its keys, one row a step, along the "
            "image's columns; beside it the values, one column a step, along the image's rows; "
            "in the corner the learning rate of each step. "
            f"{context.chosen_paintings}, each channel by itself.",
            inputs=context.traces(dataset, model),
            options={"paintings": context.strips},
        )


def draw_keys(spec: Spec, results: Path) -> Figure:
    """Each image with the keys and the values of its rank-1 updates.

    Keys lie below the image, one row a step, over the image's columns; values beside it, one
    column a step, along the image's rows; in the corner the learning rates. Colour images come
    apart into their channels, which are painted separately.
    """
    trace: Trace = load_needed(spec.inputs[0], results)
    count, channels = trace["right"].shape[:2]
    paintings = [n for n in spec.options["paintings"] if n < count]
    shown = list(product(paintings, range(channels)))
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    size = TEXT_WIDTH / 3 * across, TEXT_WIDTH / 3 * down
    ratios = {"width_ratios": [3, 2] * across, "height_ratios": [3, 2] * down}
    figure, grid = plt.subplots(
        2 * down, 2 * across, figsize=size, squeeze=False, gridspec_kw=ratios
    )
    set_padding(figure, w_pad=0.03, h_pad=0.02, wspace=0, hspace=0)
    for ax in grid.flat:
        ax.axis("off")
    for i, (n, c) in enumerate(shown):
        row, column = 2 * (i // across), 2 * (i % across)
        name = f"painting {n + 1}" + (f", {'red green blue'.split()[c]}" if channels == 3 else "")
        parts = {part: trace[part][n, c] for part in ("right", "values", "rates", "painted")}
        _draw_channel(grid[row : row + 2, column : column + 2], parts, name)
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
    largest = np.abs(keys).max()
    if keys.min() < 0:
        below.imshow(keys, cmap=SIGNED, vmin=-largest, vmax=largest, **heat)
    else:
        below.imshow(keys, cmap=POSITIVE, vmin=0, **heat)
    below.set_xlabel(f"keys (to {largest:.2g})", labelpad=2, size=8)
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
    corner.xaxis.set_major_locator(plt.MaxNLocator(3, integer=True, min_n_ticks=2))
    corner.set_xlabel("rate $\\beta_t$ at step", labelpad=2, size=8)


register("keys", keys_specs, draw_keys)

# Numbers over the steps ------------------------------------------------------------------------

BAND = (10, 90)
"""Percentiles of the paintings that a band covers."""

QUANTITIES = {
    "rate": "learning rate $\\beta_t$",
    "norm": "norm of the update",
    "share": "share of the image",
    "explained": "explained so far",
    "rank": "rank of the image",
    "effective_rank": "effective rank",
}
"""Panels of numbers over steps, as `fpa.evaluation.trace.statistics` names them."""


def dynamics_specs(context: Context) -> Iterator[Spec]:
    for dataset, model in product(context.stores, context.painters):
        yield context.spec(
            "dynamics",
            dataset,
            model,
            title="numbers over the steps",
            category=CATEGORY,
            caption=f"{context.labels[model]} on {dataset} ({context.training_seed}), step by "
            "step: mean and band (10th to 90th percentile) of "
            f"{context.shown.statistics} paintings, and some single ones. Norm: Frobenius "
            "norm of the rank-1 update over that of the finished image W. Share: inner product "
            "of update and W over the squared norm of W (all shares sum to 1). Explained: 1 - "
            "squared distance to W over squared norm of W. Rank at float32's precision; "
            "effective rank: exp of the entropy of the singular values; both, and the singular "
            "values over the largest one of W, are of the partial image before the tanh, means "
            "over channels.",
            inputs=(*context.traces(dataset, model), *context.statistics(dataset, [model])),
            lines=True,
            options={"paintings": context.strips},
        )


def draw_dynamics(spec: Spec, results: Path) -> Figure:
    """Numbers over the steps of one painter: some paintings, and the mean and band of many.

    The last panels show the singular values of the partial images: on average at some steps, and
    at all steps as a map.
    """
    trace, many = (load_needed(part, results) for part in spec.inputs)
    colour = model_colours(spec.models)[spec.model]
    single = statistics(trace)
    paintings = [n for n in spec.options["paintings"] if n < len(single["rate"])]
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
        ax.xaxis.set_major_locator(plt.MaxNLocator(4, integer=True))
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
    shown = np.where(mean > FLOOR, mean, np.nan)
    for step in chosen_steps(steps, 5):
        colour = plt.get_cmap(STEPS)(step / max(steps - 1, 1) * 0.9)
        look = {"color": colour, "marker": "o", "markersize": 2, "label": f"{step + 1}"}
        lines.plot(np.arange(1, size + 1), shown[step], **look)
    lines.set(yscale="log", xlabel="index", title="singular values")
    lines.legend(
        title="step", ncols=2, handlelength=0.8, columnspacing=0.8, fontsize=6, title_fontsize=6
    )
    picture = heat.imshow(
        shown.T,
        norm="log",
        vmin=FLOOR,
        vmax=max(1.0, float(mean.max())),
        cmap=POSITIVE,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(0.5, steps + 0.5, 0.5, size + 0.5),
    )
    heat.set(title="singular values, all steps", ylabel="index")
    figure.colorbar(picture, ax=heat, pad=0.02).ax.tick_params(labelsize=6)


register("dynamics", dynamics_specs, draw_dynamics)

# Before and after a U-Net ----------------------------------------------------------------------


def refined_specs(context: Context) -> Iterator[Spec]:
    for dataset, model in product(context.stores, context.refiners):
        yield context.spec(
            "refined",
            dataset,
            model,
            title="before and after the U-Net",
            category=CATEGORY,
            caption=f"Images on {dataset} as the frozen painter leaves them (top) and as the "
            f"U-Net of {context.labels[model]} refines them (bottom); {context.training_seed}, "
            f"the first {context.shown.paintings} of the fixed sample seed, not chosen. "
            f"{_painter(context, model)}",
            inputs=context.traces(dataset, model),
            played=True,
        )


def _painter(context: Context, model: str) -> str:
    """Which painter is refined, beside the one whose score stands in the tables."""
    refiner = context.config.models[model]
    start = {"checkpoint": "best", "painter": "raw", **refiner.settings.get("start", {})}
    base = context.labels[str(refiner.base)]
    if start["checkpoint"] != context.checkpoint:
        return f"The painter is that of {base}'s {start['checkpoint']} checkpoint."
    if start["painter"] == "ema":
        return f"The painter is the one that {base} is scored by."
    return f"The painter is the trained one, whose EMA {base} is scored by."


def draw_refined(spec: Spec, results: Path) -> Figure:
    """Pairs: what the painter painted, and what the U-Net made of it."""
    trace: Trace = load_needed(spec.inputs[0], results)
    count = len(trace["image"])
    cell = (TEXT_WIDTH - 0.4) / max(count, 6)
    size = cell * count + 0.4, 2 * cell + 0.1
    figure, axes = plt.subplots(2, count, figsize=size, squeeze=False)
    for row, part, name in zip(axes, ("painted", "image"), ("painted", "refined"), strict=True):
        for ax, image in zip(row, trace[part], strict=True):
            show_image(ax, image.clip(0, 1))
        row[0].set_ylabel(name)
    set_padding(figure, w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    return figure


register("refined", refined_specs, draw_refined)

# Statistics of all painters ---------------------------------------------------------------------


def steps_specs(context: Context) -> Iterator[Spec]:
    if context.painters:
        yield context.spec(
            "steps",
            title="step statistics",
            category=CATEGORY,
            caption="Step statistics by data set: mean and band (10th to 90th percentile) of "
            f"{context.shown.statistics} paintings of each painter ({context.training_seed}). "
            "Learning rate; norm of the rank-1 update over the finished image's; explained share "
            "of the finished image; effective rank of the partial image.",
            inputs=context.statistics(None, context.painters),
            lines=True,
        )


def draw_steps(spec: Spec, results: Path) -> Figure:
    """Mean and band over many paintings: data sets down, quantities across, one colour a model."""
    found: dict[str, dict[str, Mapping[str, np.ndarray] | None]] = {}
    for part in spec.inputs:
        found.setdefault(part.dataset, {})[part.model] = load(part, results)
    labels = spec.models
    colours, markers = model_colours(labels), model_markers(labels)
    names = ["rate", "norm", "explained", "effective_rank"]
    size = TEXT_WIDTH, 1.25 * len(found) + 0.7
    figure, grid = plt.subplots(
        len(found), len(names), figsize=size, sharex="row", sharey="col", squeeze=False
    )
    for row, (dataset, models) in zip(grid, found.items(), strict=True):
        for ax, name in zip(row, names, strict=True):
            for model, many in models.items():
                if many is not None:
                    _band(ax, many[name], colours[model], labels[model], markers[model])
            ax.xaxis.set_major_locator(plt.MaxNLocator(4, integer=True))
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


register("steps", steps_specs, draw_steps)

# Animated --------------------------------------------------------------------------------------

FRAME_SECONDS = 0.15
LAST_FRAME_SECONDS = 2.0

ANIMATION_WIDTH = 720
"""Pixels, about: paintings are enlarged by a whole factor up to it."""


def animation_specs(context: Context) -> Iterator[Spec]:
    for dataset, model in product(context.stores, context.painters[:1]):
        yield context.spec(
            "animation",
            dataset,
            model,
            name=f"painting_{dataset}",
            title="animated paintings",
            category=CATEGORY,
            caption=f"{context.labels[model]} painting on {dataset} ({context.training_seed}), "
            "one frame a step: the rank-1 update (top), the partial image (bottom). "
            f"{SCALING}",
            inputs=context.traces(dataset, model),
            endings=("gif",),
        )


def draw_animation(spec: Spec, results: Path) -> Animation:
    """One frame a step: the update on top, the image so far below, side by side for all paintings."""
    trace: Trace = load_needed(spec.inputs[0], results)
    updates, partial = (to_uint8(pictures) for pictures in step_pictures(trace))
    size = updates.shape[-1]
    factor = max(1, ANIMATION_WIDTH // (len(updates) * (size + 1)))
    both = np.concatenate([updates, partial]).swapaxes(0, 1)
    frames = [tiled_picture(images, len(updates), factor, factor) for images in both]
    return Animation.staying(frames, FRAME_SECONDS, LAST_FRAME_SECONDS)


register("animation", animation_specs, draw_animation)
