"""The style of every figure: one colour for each model, embedded fonts, no dates in the files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpa.core.files import atomic_path
from fpa.core.lazy import mpl, plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT_WIDTH = 6.75
"""Inches: the width of a two-column page's text."""

DPI = 200
"""Of the PNG files."""

COLOURS = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
"""seaborn's palette `colorblind`."""
INK = ".15"
"""The colour of text and axes."""
SIGNED = "RdBu_r"
"""Colour map of values around zero."""
POSITIVE = "magma"
"""Colour map of values from zero up."""
STEPS = "viridis"
"""Colour map of what goes from the first step to the last."""
MARKERS = "osD^vPX*<>p"
"""One for each model beside its colour, for print in grey. One more than colours, so that no two of a
hundred models have both in common."""
MISSING = "0.55"
"""The grey of words about missing data."""

Labels = Mapping[str, str]
"""Every model of the experiment, in its order: name -> name as shown."""


def use_theme() -> None:
    """Set the style, seaborn's `ticks` for paper with smaller text; call once before drawing.

    seaborn itself, which takes a second to import, is needed by few figures.
    """
    mpl.use("Agg")
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), INK),
            **dict.fromkeys(("xtick.color", "ytick.color"), INK),
            **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 4.8),
            **dict.fromkeys(("xtick.major.width", "ytick.major.width"), 1),
            **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 3.2),
            **dict.fromkeys(("xtick.minor.width", "ytick.minor.width"), 0.8),
            "axes.axisbelow": True,
            "axes.prop_cycle": mpl.rcsetup.cycler(color=COLOURS),
            "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "sans-serif"],
            "grid.color": ".8",
            "legend.title_fontsize": 9.6,
            "lines.solid_capstyle": "round",
            "patch.edgecolor": "w",
            "patch.force_edgecolor": True,
            "patch.linewidth": 0.8,
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


def as_drawn(label: str) -> str:
    """A label as Matplotlib draws it unchanged: no formulas, and not left out of a legend."""
    text = label.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def model_colours(models: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """One colour-blind-safe colour for each model, by its place in the experiment."""
    return dict(zip(models, map(mpl.colors.to_rgb, itertools.cycle(COLOURS)), strict=False))


def model_markers(models: Sequence[str]) -> dict[str, str]:
    """One marker for each model, by its place in the experiment."""
    return {model: MARKERS[i % len(MARKERS)] for i, model in enumerate(models)}


METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None},
}
"""What would make two files of the same figure differ is left out."""


def save_figure(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure's files, each whole; the same figure gives the same bytes."""
    # Laid out once for all files, where each would do it anew.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for path in paths:
        kind = path.suffix[1:]
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=kind, metadata=METADATA.get(kind))
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
    remove_frame(axes)


def remove_frame(axes: Axes) -> None:
    """No ticks, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def empty_panel(axes: Axes, reason: str) -> None:
    """No data, only the reason in grey."""
    remove_frame(axes)
    axes.text(
        0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=MISSING, size=7
    )


def set_padding(figure: Figure, **padding: Any) -> None:
    """Set the space between a figure's panels (w_pad, h_pad, wspace, hspace)."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, mpl.layout_engine.ConstrainedLayoutEngine), "use_theme was not called"
    engine.set(**padding)


def shared_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend above all panels, each entry once."""
    entries: dict[str, Any] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            entries.setdefault(label, handle)
    if entries:
        # Inches: a line and gaps, and letters of 7 points.
        column = 0.42 + 0.062 * max(map(len, entries))
        columns = max(1, min(len(entries), int(figure.get_figwidth() / column), 5))
        rows = -(-len(entries) // columns)
        figure.set_figheight(figure.get_figheight() + 0.14 * (rows - 1))
        figure.legend(
            list(entries.values()), list(entries), loc="outside upper center", ncols=columns
        )


def _white(image: np.ndarray) -> int:
    return 255 if image.dtype == np.uint8 else 1
