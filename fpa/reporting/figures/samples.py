"""What models make: samples beside real images, interpolations, and the nearest training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpa.core import artifacts
from fpa.core.lazy import plt
from fpa.data.picture import tile
from fpa.evaluation.run_artifacts import ARTIFACTS
from fpa.reporting.figures.base import Context, Input, Spec, load_by_model, register
from fpa.reporting.figures.theme import (
    TEXT_WIDTH,
    empty_panel,
    model_colours,
    room_for_lines,
    set_padding,
    show_image,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CATEGORY = "Samples"

# Samples -----------------------------------------------------------------------------------------


def samples_specs(context: Context) -> Iterator[Spec]:
    count = context.shown.grid
    beside = " beside the first real images" if context.shown.real_images else ""
    for dataset, store in context.stores.items():
        yield context.spec(
            "samples",
            dataset,
            title="samples",
            category=CATEGORY,
            caption=f"Uncurated samples of each model on {dataset} (the first {count} of those "
            f"that are scored; {context.training_seed}){beside}.",
            inputs=(
                *[Input(artifacts.real_samples(store, count), dataset)] * context.shown.real_images,
                *context.first_inputs(context.experiment.samples_file, dataset),
            ),
            options={"count": count},
        )


def draw_samples(spec: Spec, results: Path) -> Figure:
    """Uncurated images side by side, one titled grid each: real ones first, then every model's."""
    grids, labels = load_by_model(spec, results), {"": "real", **spec.models}
    count = spec.options["count"]
    columns = int(np.ceil(np.sqrt(count)))
    across = min(len(grids), 2 if len(grids) in (2, 4) else 3)
    down = -(-len(grids) // across)
    size = TEXT_WIDTH, down * (TEXT_WIDTH / across + 0.2 + room_for_lines(labels.values()))
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
        ax.set_anchor("S")  # all room is above, where titles of several lines are
    for ax, (name, images) in zip(axes.flat, grids.items(), strict=False):
        if images is None:
            empty_panel(ax, "no samples: run missing")
        else:
            show_image(ax, tile(np.asarray(images[:count]), columns))
        ax.set_title(labels.get(name, name))
    return figure


register("samples", samples_specs, draw_samples)

# From latent to latent ---------------------------------------------------------------------------


def interpolation_specs(context: Context) -> Iterator[Spec]:
    shown = context.shown
    file = ARTIFACTS["interpolations"].file(
        context.checkpoint, shown.interpolations, shown.frames, seed=context.sample_seed
    )
    for dataset in context.stores:
        yield context.spec(
            "interpolation",
            dataset,
            title="latent interpolation",
            category=CATEGORY,
            caption=f"From latent to latent on {dataset} ({context.training_seed}): spherical "
            "interpolation between two fixed latents a row, all else kept; not chosen.",
            inputs=context.first_inputs(file, dataset),
        )


def draw_interpolation(spec: Spec, results: Path) -> Figure:
    """Images (R, F, C, H, W) between pairs of latents, one titled block of rows a model."""
    found = load_by_model(spec, results)
    down, across = next(images.shape[:2] for images in found.values() if images is not None)
    height = TEXT_WIDTH * down / across + 0.22 + room_for_lines(spec.models.values())
    size = TEXT_WIDTH, height * len(found)
    figure, axes = plt.subplots(len(found), 1, figsize=size, squeeze=False)
    for ax, (name, images) in zip(axes.flat, found.items(), strict=True):
        if images is None:
            empty_panel(ax, "run missing")
        else:
            show_image(ax, tile(np.concatenate(images), across))
        ax.set_title(spec.models[name], loc="left", pad=2)
    set_padding(figure, w_pad=0.01, h_pad=0.02, wspace=0, hspace=0)
    return figure


register("interpolation", interpolation_specs, draw_interpolation)

# Nearest training images -------------------------------------------------------------------------


def neighbours_specs(context: Context) -> Iterator[Spec]:
    protocol = context.experiment.first_protocol
    file = context.experiment.neighbours_file
    above = ", above their nearest training images" if context.shown.real_images else ""
    for dataset in context.stores:
        yield context.spec(
            "neighbours",
            dataset,
            title="nearest training images",
            category=CATEGORY,
            caption=f"Memorisation check on {dataset} ({context.training_seed}): the first samples, "
            f"not chosen{above}. Right: the distances of all samples (2,000 at most) to their nearest "
            f"training image, in {protocol.extractor} features, against those between training images. A "
            "model that copies lies left of the grey curve, near zero.",
            inputs=context.first_inputs(file, dataset),
        )


def draw_neighbours(spec: Spec, results: Path) -> Figure:
    """Memorisation check: samples above their nearest training images, and all distances.

    The inputs are as `fpa.evaluation.memorisation.search` gives them; samples without `nearest` stand
    alone. On the right, how far the samples are from their nearest training image, against how far training
    images are from each other.
    """
    found: dict[str, Mapping[str, np.ndarray] | None] = load_by_model(spec, results)
    colours = model_colours(spec.models)
    there = [part for part in found.values() if part is not None]
    count, most = len(there[0]["samples"]), max(len(_rows(part)) for part in there)
    height = max(0.62 * TEXT_WIDTH * most / count, 0.9) + 0.25
    height += room_for_lines(spec.models.values())
    size = TEXT_WIDTH, height * len(found)
    figure, axes = plt.subplots(len(found), 2, figsize=size, squeeze=False, width_ratios=[7, 3])
    distances = [part[key] for part in there for key in ("distance", "real_distance")]
    known = [values[np.isfinite(values)] for values in distances]
    limit = 1.05 * max(np.percentile(values, 99.5) for values in known if len(values))
    for (pictures, curve), (name, part) in zip(axes, found.items(), strict=True):
        pictures.set_title(spec.models[name], loc="left", pad=3)
        if part is None:
            empty_panel(pictures, "run missing")
            empty_panel(curve, "")
            continue
        rows = _rows(part)
        show_image(pictures, tile(np.concatenate(rows), count))
        names = ["sample", "nearest", *(f"{row}." for row in range(2, len(rows)))][: len(rows)]
        pitch = part["samples"].shape[-1] + 1
        pictures.set_yticks([(row + 0.5) * pitch for row in range(len(rows))], names)
        pictures.tick_params(length=0, labelsize=6)
        for key, colour, what in (
            ("real_distance", "0.4", "real to real"),
            ("distance", colours[name], "sample to real"),
        ):
            finite = part[key][np.isfinite(part[key])]
            if len(finite):
                curve.ecdf(finite, color=colour, label=what)
        curve.set(xlim=(0, limit), ylim=(0, 1), ylabel="share of images")
        curve.legend(loc="upper left", handlelength=1, borderpad=0, fontsize=6)
    axes[-1, 1].set_xlabel("feature distance")
    return figure


def _rows(part: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The samples, and below them their nearest training images, where these may be shown."""
    return [part["samples"], *(part["nearest"].swapaxes(0, 1) if "nearest" in part else ())]


register("neighbours", neighbours_specs, draw_neighbours)
