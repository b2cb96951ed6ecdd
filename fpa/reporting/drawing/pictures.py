"""Figures of images: painting strips, sample grids, pairs, interpolations and neighbours."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fpa.core.errors import UserError
from fpa.evaluation.trace import Trace, step_pictures, to_uint8
from fpa.reporting.drawing.theme import (
    TEXT_WIDTH,
    Labels,
    empty_panel,
    model_colours,
    set_padding,
    show_image,
)
from fpa.reporting.drawing.tiles import tile

Arrays = Mapping[str, np.ndarray | None]
"""One array for each model, None where its run is missing."""


def chosen_steps(steps: int, wanted: int | Sequence[int]) -> np.ndarray:
    """Which of T steps are shown, from 0: at most so many, spread evenly, or those named (from 1)."""
    if isinstance(wanted, int):
        spread = np.linspace(0, steps - 1, min(steps, wanted)).round().astype(int)
        return np.unique(spread)
    return np.array([step - 1 for step in wanted if 1 <= step <= steps], int)


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
    figure, axes = plt.subplots(
        len(paintings) * len(lines),
        1,
        figsize=(cell * (across + 0.6), height),
        squeeze=False,
    )
    for row, ax in enumerate(axes.flat):
        n, line = paintings[row // len(lines)], lines[row % len(lines)]
        sheet = tile(
            np.concatenate([_row(updates[n, line], across), _row(partial[n, line], across)]),
            across,
            gap,
        )
        show_image(ax, sheet)
        pitch = size + gap
        ax.set_yticks([size / 2, pitch + size / 2], ["update", "image"], rotation=90, va="center")
        for i, step in enumerate(line):
            ax.text(i * pitch + size / 2, -gap, f"{step + 1}", ha="center", va="bottom", size=6)
        ax.tick_params(length=0, labelsize=6, pad=1)
    set_padding(figure, w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    return figure


def _row(pictures: np.ndarray, across: int) -> np.ndarray:
    """Pictures filled up with white to a whole row."""
    fill = np.full((across - len(pictures), *pictures.shape[1:]), 255, np.uint8)
    return np.concatenate([pictures, fill])


def sample_grids(grids: Arrays, labels: Labels, count: int) -> Figure:
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
    for ax, (name, images) in zip(axes.flat, grids.items(), strict=False):
        if images is None:
            empty_panel(ax, "no samples: run missing")
        else:
            show_image(ax, tile(np.asarray(images[:count]), columns))
        ax.set_title(labels.get(name, name))
    return figure


def before_after(trace: Trace, paintings: Sequence[int]) -> Figure:
    """Pairs: what the painter painted, and what the U-Net made of it."""
    shown = [n for n in paintings if n < len(trace["image"])]
    across = max(len(shown), 6)
    cell = (TEXT_WIDTH - 0.4) / across
    figure, axes = plt.subplots(
        2, len(shown), figsize=(cell * len(shown) + 0.4, 2 * cell + 0.1), squeeze=False
    )
    for row, name in enumerate(("painted", "image")):
        for column, n in enumerate(shown):
            show_image(axes[row, column], trace[name][n].clip(0, 1))
        axes[row, 0].set_ylabel(("painted", "refined")[row])
    set_padding(figure, w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
    return figure


def interpolations(rows: Arrays, labels: Labels) -> Figure:
    """Images (R, F, C, H, W) between pairs of latents, one titled block of rows a model."""
    sheets = {name: None if images is None else _sheet(images) for name, images in rows.items()}
    found = [images.shape for images in rows.values() if images is not None]
    share = found[0][0] / found[0][1]
    height = TEXT_WIDTH * share + 0.22
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(TEXT_WIDTH, height * len(rows)), squeeze=False
    )
    for ax, (name, sheet) in zip(axes.flat, sheets.items(), strict=True):
        if sheet is None:
            empty_panel(ax, "run missing")
        else:
            show_image(ax, sheet)
        ax.set_title(labels[name], loc="left", pad=2)
    set_padding(figure, w_pad=0.01, h_pad=0.02, wspace=0, hspace=0)
    return figure


def _sheet(images: np.ndarray) -> np.ndarray:
    return tile(images.reshape(-1, *images.shape[2:]), images.shape[1])


def neighbours(found: Mapping[str, Mapping[str, np.ndarray] | None], labels: Labels) -> Figure:
    """Memorisation check: samples above their nearest training images, and all distances.

    `found` as `fpa.evaluation.neighbours.search` gives it; samples without `nearest` stand alone. On
    the right, how far the samples are from their nearest training image, against how far training
    images are from each other.
    """
    colours = model_colours(list(labels))
    there = [part for part in found.values() if part is not None]
    count, nearest = len(there[0]["samples"]), max(_rows(part) for part in there)
    height = max(0.62 * TEXT_WIDTH * (nearest + 1) / count, 0.9) + 0.25
    figure, axes = plt.subplots(
        len(found),
        2,
        figsize=(TEXT_WIDTH, height * len(found)),
        squeeze=False,
        width_ratios=[7, 3],
    )
    curves = ("distance", "real_distance")
    known = {
        name: {key: part[key][np.isfinite(part[key])] for key in curves}
        for name, part in found.items()
        if part is not None
    }
    limit = 1.05 * max(
        np.percentile(values, 99.5)
        for part in known.values()
        for values in part.values()
        if len(values)
    )
    for (pictures, curve), (name, part) in zip(axes, found.items(), strict=True):
        pictures.set_title(labels[name], loc="left", pad=3)
        if part is None:
            empty_panel(pictures, "run missing")
            empty_panel(curve, "")
            continue
        columns = part["samples"][:, None]
        if _rows(part):
            columns = np.concatenate([columns, part["nearest"]], axis=1)
        sheet = tile(np.concatenate(columns.swapaxes(0, 1)), count)
        show_image(pictures, sheet)
        size = part["samples"].shape[-1]
        names = [
            "sample",
            *("nearest" if row == 0 else f"{row + 1}." for row in range(_rows(part))),
        ]
        pictures.set_yticks([(row + 0.5) * (size + 1) for row in range(len(names))], names)
        pictures.tick_params(length=0, labelsize=6)
        for key, colour, what in (
            ("real_distance", "0.4", "real to real"),
            ("distance", colours[name], "sample to real"),
        ):
            if len(known[name][key]):
                curve.ecdf(known[name][key], color=colour, label=what)
        curve.set(xlim=(0, limit), ylim=(0, 1), ylabel="share of images")
        curve.legend(loc="upper left", handlelength=1, borderpad=0, fontsize=6)
    axes[-1, 1].set_xlabel("feature distance")
    return figure


def _rows(part: Mapping[str, np.ndarray]) -> int:
    """Training images below each sample."""
    return part["nearest"].shape[1] if "nearest" in part else 0


ANIMATION_WIDTH = 720
"""Pixels, about: paintings are enlarged by a whole factor up to it."""


def painting_frames(trace: Trace, paintings: Sequence[int]) -> list[Image.Image]:
    """One frame a step: the update on top, the image so far below, side by side for all paintings."""
    updates, partial = (to_uint8(pictures)[list(paintings)] for pictures in step_pictures(trace))
    size = updates.shape[-1]
    factor = max(1, ANIMATION_WIDTH // (len(updates) * (size + 1)))
    frames = []
    for step in range(updates.shape[1]):
        both = np.concatenate([updates[:, step], partial[:, step]])
        both = both.repeat(factor, axis=2).repeat(factor, axis=3)
        sheet = tile(both, len(updates), factor).transpose(1, 2, 0)
        frames.append(Image.fromarray(sheet.squeeze()))
    return frames
