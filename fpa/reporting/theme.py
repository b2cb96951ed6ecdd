"""The look of every figure: one colour a model, embedded fonts, no dates inside the files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpa.common.files import atomic_path

TEXT_WIDTH = 6.75
"""Inches: the width of a two-column page's text."""

DPI = 200
"""Of the PNG files."""

SIGNED = "RdBu_r"
"""Colour map of values around zero."""
POSITIVE = "magma"
"""Colour map of values from zero up."""
STEPS = "viridis"
"""Colour map of what goes from the first step to the last."""
MARKERS = "osD^vPX*<>"
"""One a model beside its colour, for whoever prints in grey."""
MISSING = "0.55"
"""The grey of what is not there."""

Labels = Mapping[str, str]
"""Every model of the experiment, in its order: name -> name as shown."""


def use_theme() -> None:
    """Set the style; call once before drawing."""
    mpl.use("Agg")
    sns.set_theme(context="paper", style="ticks", palette="colorblind")
    mpl.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "pdf.fonttype": 42,
            "svg.hashsalt": "fpa",
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "lines.linewidth": 1.2,
            "lines.markersize": 3,
        }
    )


def model_colours(models: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """One colour-blind-safe colour for each model, by its place in the experiment."""
    palette = sns.color_palette("colorblind", max(10, len(models)))
    return dict(zip(models, palette, strict=False))


def model_markers(models: Sequence[str]) -> dict[str, str]:
    """One marker for each model, by its place in the experiment."""
    return {model: MARKERS[i % len(MARKERS)] for i, model in enumerate(models)}


def save_figure(figure: Figure, stem: str | Path) -> None:
    """Write stem.png and stem.pdf, each whole, byte-identical for the same picture."""
    stem = Path(stem)
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    for kind, entries in metadata.items():
        with atomic_path(stem.with_name(f"{stem.name}.{kind}")) as path:
            figure.savefig(path, format=kind, metadata=entries)
    plt.close(figure)


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one image (C, H, W) with values in [0, 1] or uint8; grey or RGB, no axes."""
    pixels = image.transpose(1, 2, 0)
    if pixels.shape[2] == 1:
        axes.imshow(
            pixels[..., 0], cmap="gray", vmin=0, vmax=_white(image), interpolation="nearest"
        )
    else:
        axes.imshow(pixels, interpolation="nearest")
    bare(axes)


def bare(axes: Axes) -> None:
    """No ticks, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def say_missing(axes: Axes, what: str = "missing") -> None:
    """An empty panel that says why it is empty."""
    bare(axes)
    axes.text(
        0.5, 0.5, what, transform=axes.transAxes, ha="center", va="center", color=MISSING, size=7
    )


def _white(image: np.ndarray) -> int:
    return 255 if image.dtype == np.uint8 else 1
