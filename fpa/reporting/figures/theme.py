"""The style of every figure: one colour for each model, embedded fonts, no dates in the files."""

from __future__ import annotations

import itertools
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpa.core.files import atomic_path
from fpa.core.lazy import mpl, plt
from fpa.core.progress import log

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
LINE_COLUMNS = 30
"""Latin letters in a line of a label; a Chinese character takes the room of two."""
LINE_HEIGHT = 0.15
"""Inches from line to line, of letters of 8 points; Chinese ones are higher."""

Labels = Mapping[str, str]
"""Every model of the experiment, in its order: name -> name as shown."""


def use_theme(text: str = "") -> None:
    """Set the style of theme.mplstyle; call once before drawing.

    text: what will be written beside English; where the usual font lacks some of it, fonts that have it
    are taken too.
    """
    mpl.use("Agg")
    mpl.rcdefaults()
    mpl.rc_file(Path(__file__).with_suffix(".mplstyle"))
    mpl.rcParams.update({"figure.dpi": DPI, "savefig.dpi": DPI})
    mpl.rcParams["axes.prop_cycle"] = mpl.rcsetup.cycler(color=COLOURS)
    if not text.isascii():
        mpl.rcParams["font.family"] = ["sans-serif", *further_fonts(frozenset(text))]


@lru_cache
def further_fonts(characters: frozenset[str]) -> list[str]:
    """Installed fonts with those of the characters that the usual font lacks; a line names what none has.

    As few fonts as will do: again and again the one with the most of what is left.
    """
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

    # Characters of control and format have no picture.
    left = {ord(c) for c in characters if unicodedata.category(c)[0] != "C"}
    left -= set(get_font(findfont(FontProperties())).get_charmap())
    if not left:
        return []
    candidates = {
        entry.name: findfont(FontProperties(family=entry.name, weight=entry.weight))
        for entry in sorted(fontManager.ttflist, key=lambda entry: _liking(entry.name, characters))
        if entry.style == "normal"
        and entry.weight in (400, 500)  # normal and medium
        and not entry.name.startswith("Last Resort")
    }
    had = {name: left & set(get_font(path).get_charmap()) for name, path in candidates.items()}
    chosen = []
    # Of equals the first is taken.
    while best := max(had, key=lambda name: len(had[name] & left), default=""):
        if not had[best] & left:
            break
        chosen.append(best)
        left -= had[best]
    if left:
        log.warning(
            "no installed font has %s of the labels, drawn as boxes: install one, such as Noto Sans for "
            "their script (Debian: fonts-noto-core, fonts-noto-cjk), and draw the figures again",
            " ".join(map(chr, sorted(left))),
        )
    return chosen


def _liking(font: str, characters: frozenset[str]) -> tuple[bool, bool, bool, str]:
    """The order in which fonts are preferred: without serifs, not of one width, of the script's country."""
    scripts = {unicodedata.name(c, "").split(" ")[0] for c in characters}
    country = "JP" if scripts & {"HIRAGANA", "KATAKANA"} else "KR" if "HANGUL" in scripts else "SC"
    return "Sans" not in font, "Mono" in font, not font.endswith(country), font


def as_drawn(label: str) -> str:
    """A label as Matplotlib draws it: wrapped, no formulas, and not left out of a legend."""
    text = "\n".join(wrapped(label)).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def wrapped(label: str) -> list[str]:
    """The lines of a label, broken between words, else within."""
    lines = [""]
    for word in label.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _columns(longer) <= LINE_COLUMNS:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if _columns(lines[-1] + character) > LINE_COLUMNS:
                lines.append("")
            lines[-1] += character
    return lines


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def room_for_lines(labels: Iterable[str]) -> float:
    """Inches that the longest label needs below its first line."""
    return LINE_HEIGHT * max((label.count("\n") for label in labels), default=0)


def room_beside(labels: Iterable[str]) -> float:
    """Inches that labels at the left of a panel take, with letters of 7 points."""
    return max(0.6, 0.06 * _longest(labels))


def _longest(labels: Iterable[str]) -> int:
    """Columns of the longest line."""
    return max(_columns(line) for label in labels for line in label.split("\n"))


def model_colours(models: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """One colour-blind-safe colour for each model, by its place in the experiment."""
    return dict(zip(models, map(mpl.colors.to_rgb, itertools.cycle(COLOURS)), strict=False))


def model_markers(models: Iterable[str]) -> dict[str, str]:
    """One marker for each model, by its place in the experiment."""
    return dict(zip(models, itertools.cycle(MARKERS), strict=False))


METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None},
}
"""What would make two files of the same figure differ is left out."""


def save_figure(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure's files, each whole; the same figure gives the same bytes."""
    with warnings.catch_warnings():
        # `further_fonts` has said so in one line.
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from")
        # Laid out once for all files, where each would do it anew.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for path in paths:
            kind = path.suffix[1:]
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=METADATA.get(kind))
    plt.close(figure)


def unit_of_time(longest: float) -> tuple[int, str]:
    """How many units an hour has, and their name: minutes where the longest (hours) is under two hours."""
    return (60, "minutes") if longest < 2 else (1, "hours")


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one image (C, H, W) with values in [0, 1] or uint8; grey or RGB, no axes."""
    white = 255 if image.dtype == np.uint8 else 1
    # Colour images have no use for a map and its ends.
    pixels = image.transpose(1, 2, 0).squeeze()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
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
        column = 0.42 + 0.062 * _longest(entries)
        columns = max(1, min(len(entries), int(figure.get_figwidth() / column), 5))
        rows = -(-len(entries) // columns)
        more = 0.14 * (rows - 1) + rows * room_for_lines(entries)
        figure.set_figheight(figure.get_figheight() + more)
        figure.legend(
            list(entries.values()), list(entries), loc="outside upper center", ncols=columns
        )
