"""Trainings: quick scores and losses over time, images and hours to a target, and films."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fpa.core import artifacts
from fpa.core.errors import UserError, in_words
from fpa.core.lazy import pd, plt, sns
from fpa.data.picture import tiled_picture
from fpa.reporting.figures.base import (
    Animation,
    Context,
    Input,
    Spec,
    load,
    load_histories,
    load_needed,
    register,
)
from fpa.reporting.figures.theme import (
    TEXT_WIDTH,
    Labels,
    empty_panel,
    model_colours,
    model_markers,
    room_for_lines,
    shared_legend,
    unit_of_time,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CATEGORY = "Training"
NOT_SCORED = "no run was scored while it trained (training.watch_kimg)"

Histories: TypeAlias = "Sequence[tuple[str, int, pd.DataFrame]]"
"""(model, seed, history) of each run."""

# Quick scores ------------------------------------------------------------------------------------

QUICK = {"fid": "Fréchet distance", "precision": "precision", "recall": "recall"}
"""Columns of a history that a quick score fills, and what they are called."""


def progress_specs(context: Context) -> Iterator[Spec]:
    band = "one seed, so no band"
    if len(context.seeds) > 1:
        band = f"mean of {len(context.seeds)} seeds, band from the lowest to the highest"
    refined = in_words([context.labels[name] for name in context.refiners])
    dotted = f" Dotted: the frozen painter below {refined}." if refined else ""
    training = context.config.training
    protocols = {protocol.name: protocol for protocol in context.experiment.protocols}
    extractor = protocols[str(training.watch_protocol)].extractor
    for dataset in context.stores:
        yield context.spec(
            "progress",
            dataset,
            title="quick scores over training",
            category=CATEGORY,
            caption=f"Fréchet distance, precision and recall of the EMA generator on {dataset} while it "
            f"trains ({training.watch_images:,} samples of its own, {training.watch_protocol} "
            f"protocol, {extractor} features): {band}.{dotted}",
            inputs=context.inputs(artifacts.HISTORY, dataset),
            lines=True,
            options={"extractor": extractor},
        )


def draw_progress(spec: Spec, results: Path) -> Figure:
    return progress(load_histories(spec, results), spec.models, spec.options["extractor"])


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
        empty_panel(ax, NOT_SCORED)
        return figure
    frame = pd.concat(frames).replace([np.inf, -np.inf], np.nan)
    figure, panels = plt.subplots(1, 3, figsize=(TEXT_WIDTH, 2.6), sharex=True)
    for ax, (name, title) in zip(panels, QUICK.items(), strict=True):
        _quick_score(ax, frame, name, labels)
        ax.set(title=title, xlabel="real images shown (thousands)", ylabel="")
    panels[0].set(yscale="log", ylabel=f"{extractor} features")
    panels[0].yaxis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].yaxis.set_minor_formatter("")
    for ax in panels[1:]:
        ax.set_ylim(bottom=0)
    shared_legend(figure, panels)
    return figure


def _quick_score(ax: Axes, frame: pd.DataFrame, name: str, labels: Labels) -> None:
    """One column of the histories over training."""
    drawn = frame.dropna(subset=[name])
    there = [label for label in labels.values() if label in set(drawn["model"])]
    colours, markers = model_colours(labels.values()), model_markers(labels.values())
    if there:
        sns.lineplot(
            drawn,
            x="kimg",
            y=name,
            hue="model",
            style="model",
            hue_order=there,
            style_order=there,
            palette=colours,
            markers=markers,
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


register("progress", progress_specs, draw_progress)

# Images and hours to a target --------------------------------------------------------------------


def targets_specs(context: Context) -> Iterator[Spec]:
    """One, where models are scored while they train."""
    if context.experiment.watched:
        target = context.shown.target
        which = f"of {target:g}" if target else "that the mean training of every model reaches"
        yield context.spec(
            "targets",
            title="images and time to a target",
            category=CATEGORY,
            caption=f"Images shown, and time of training, that of a base included, until the first quick score not above a "
            f"Fréchet distance {which}: a dot for each training, hollow at its budget where it did not "
            "get there.",
            inputs=(Input(artifacts.table("targets")),),
        )


def draw_targets(spec: Spec, results: Path) -> Figure:
    return targets(load_needed(spec.inputs[0], results), spec.models)


def targets(table: pd.DataFrame, labels: Labels) -> Figure:
    """Models down, a column of panels for images and one for time; a row for each data set.

    `table` as in targets.csv.
    """
    if table.empty:
        figure, ax = plt.subplots(figsize=(0.75 * TEXT_WIDTH, 3))
        empty_panel(ax, NOT_SCORED)
        return figure
    colours = model_colours(labels)
    models = [name for name in labels if name in set(table["model"])]
    datasets = list(table["dataset"].unique())
    row = 0.24 + room_for_lines(labels.values())
    size = TEXT_WIDTH, len(datasets) * (0.9 + row * len(models))
    figure, grid = plt.subplots(len(datasets), 2, figsize=size, sharey=True, squeeze=False)
    parts, unit = unit_of_time(table["budget_hours"].max())
    for axes, dataset in zip(grid, datasets, strict=True):
        rows = table[table["dataset"] == dataset]
        goal = rows["target"].iloc[0]
        for ax, column, factor in zip(axes, ("kimg", "hours"), (1, parts), strict=True):
            for place, model in enumerate(models):
                of_model = rows[rows["model"] == model]
                # Trainings that got there at once would hide each other.
                heights = place + np.linspace(-0.25, 0.25, len(of_model) + 2)[1:-1]
                reached = of_model["kimg"].notna()
                style = {"color": colours[model], "markersize": 4, "linestyle": "", "marker": "o"}
                style |= {"clip_on": False, "in_layout": False}  # at the start of an axis
                ax.plot(factor * of_model.loc[reached, column], heights[reached], **style)
                budgets = factor * of_model.loc[~reached, f"budget_{column}"]
                ax.plot(budgets, heights[~reached], fillstyle="none", **style)
            ax.set_xlim(left=0)
            ax.margins(x=0.1)
        title = f"{dataset}, to {goal:.1f}" if len(datasets) > 1 else f"to {goal:.1f}"
        axes[0].set(title=title, xlabel="real images shown (thousands)")
        axes[1].set(title=title, xlabel=unit)
        axes[0].set_yticks(range(len(models)), [labels[name] for name in models])
        axes[0].set_ylim(len(models) - 0.5, -0.5)
    return figure


register("targets", targets_specs, draw_targets)

# Losses ------------------------------------------------------------------------------------------


def curves_specs(context: Context) -> Iterator[Spec]:
    for dataset in context.stores:
        yield context.spec(
            "curves",
            dataset,
            title="losses",
            category=CATEGORY,
            caption=f"Losses on {dataset} over training, one line a run.",
            inputs=context.inputs(artifacts.HISTORY, dataset),
            lines=True,
        )


def draw_curves(spec: Spec, results: Path) -> Figure:
    return training_curves(load_histories(spec, results), spec.models)


def training_curves(histories: Histories, labels: Labels) -> Figure:
    """Losses over training: one line a run, one colour a model."""
    colours = model_colours(labels)
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
                look = {"color": colours[model], "label": labels[model], "linewidth": 0.9}
                ax.plot(line["kimg"], line[column], **look)
        ax.set(title=title, xlabel="real images shown (thousands)")
        if column == "reconstruction":
            ax.set_yscale("log")
    shared_legend(figure, grid)
    return figure


register("curves", curves_specs, draw_curves)

# Films -------------------------------------------------------------------------------------------

FRAME_SECONDS = 0.4
LAST_FRAME_SECONDS = 3.0

WIDTH = 280
"""Pixels, about: snapshots are enlarged by a whole factor up to it."""
COLUMNS = 4
BAR = 24
"""Height (px) of the line of text below the images."""


def film_specs(context: Context) -> Iterator[Spec]:
    models = context.experiment.watched
    both = [f"{dataset}_{model}" for dataset in context.stores for model in models]
    for dataset, model in product(context.stores, models):
        name = f"{dataset}_{model}"
        if both.count(name) > 1:
            # cats_hd and dcgan, cats and hd_dcgan; no name has a - in it.
            name = f"{dataset}-{model}"
        yield context.spec(
            "film",
            dataset,
            model,
            name=f"training_{name}",
            title="film of the training",
            category=CATEGORY,
            caption=f"{context.labels[model]} training on {dataset} ({context.training_seed}): "
            "the EMA generator's images of the same latents, one frame a quick score (of a "
            "long training, of every second, third, ...).",
            # A training makes both, but older, cached or imported runs have no snapshots.
            inputs=(
                *context.first_inputs(artifacts.HISTORY, dataset, [model]),
                *context.first_inputs(artifacts.SNAPSHOTS, dataset, [model], optional=True),
            ),
            endings=("gif",),
        )


def draw_film(spec: Spec, results: Path) -> Animation:
    """The film so far; of a finished run without snapshots, one frame that says so."""
    found = load(spec.inputs[-1], results)
    if found is not None:
        return Animation.staying(film_frames(found), FRAME_SECONDS, LAST_FRAME_SECONDS)
    frame = Image.new("RGB", (WIDTH // 2, 4 * BAR), "white")
    _write(frame, (10, 12), "No snapshots: this run\ncame without them.")
    return Animation([frame], [LAST_FRAME_SECONDS])


def film_frames(film: Mapping[str, np.ndarray]) -> list[Image.Image]:
    """One frame a snapshot: its images, and below them how far the training was, and its quick score.

    film: `images` uint8 (F, N, C, H, W), `kimg` and `fid` (F,).
    """
    try:
        images, kimg, fid = (film[key] for key in ("images", "kimg", "fid"))
    except KeyError as error:
        raise UserError(f"these are not snapshots of a training: {error} is missing") from error
    if images.ndim != 5 or images.dtype != np.uint8 or not len(images) == len(kimg) == len(fid):
        raise UserError("these are not snapshots of a training: their shapes do not fit together")
    factor = max(1, WIDTH // (COLUMNS * (images.shape[-1] + 1)))
    return [
        _frame(*frame, factor, float(kimg[-1])) for frame in zip(images, kimg, fid, strict=True)
    ]


def _frame(images: np.ndarray, kimg: float, fid: float, factor: int, whole: float) -> Image.Image:
    sheet = tiled_picture(images, COLUMNS, factor, factor)
    frame = Image.new("RGB", (sheet.width, sheet.height + BAR), "white")
    frame.paste(sheet)
    bar = 0, sheet.height + 1, round((kimg / whole if whole else 1) * sheet.width), sheet.height + 3
    ImageDraw.Draw(frame).rectangle(bar, fill="#777")
    score = f"   distance {fid:.1f}" if math.isfinite(fid) else ""
    _write(frame, (4, sheet.height + 6), f"{kimg:.4g} kimg{score}")
    return frame


def _write(frame: Image.Image, place: tuple[int, int], text: str) -> None:
    # Pillow's own font, the same everywhere.
    ImageDraw.Draw(frame).text(place, text, fill="black", font=ImageFont.load_default(14))


register("film", film_specs, draw_film)
