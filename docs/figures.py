"""Draws the figures of docs/how-a-network-paints.md from the kept results, without training.

    python docs/figures.py [OUT]

They are of the first training of FPA in results/published/digits/bundle.tar.gz. The same libraries
give the same files.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "results" / "published" / "digits" / "bundle.tar.gz"
OUT = ROOT / "docs" / "how-a-network-paints"
PAINTING, STEP = 0, 13
"""Which of the kept paintings is taken apart, and at which step, both from 0."""

Trace = Mapping[str, np.ndarray]


def load(folder: Path) -> tuple[Trace, Trace]:
    """A painting trace and the statistics of many paintings, as numpy arrays by name."""
    from fpa.core.files import load_arrays
    from fpa.experiment.experiment import Experiment
    from fpa.reporting.bundle import unpack
    from fpa.reporting.figures import Context

    results = unpack(BUNDLE, folder / "results")
    context = Context(Experiment.read(results))
    (trace,) = context.traces("digits", "fpa")
    (many,) = context.statistics("digits", ["fpa"])
    return tuple(dict(load_arrays(results / part.path)) for part in (trace, many))  # type: ignore[return-value]


def written(trace: Trace, n: int, delta: bool) -> np.ndarray:
    """The matrices W_t (T, D, D) that a rule writes from a painting's keys, values and rates.

    The delta rule writes what is new of a value, b_t (v_t - W_{t-1} k_t) k_t^T; without `delta`, the
    additive rule writes b_t v_t k_t^T.
    """
    keys, values, rates = (trace[name][n, 0].astype(np.float64) for name in PARTS)
    W = np.zeros((keys.shape[1], keys.shape[1]))
    found = []
    for k, v, b in zip(keys, values, rates, strict=True):
        W = W + np.outer(b * (v - W @ k if delta else v), k)
        found.append(W)
    return np.array(found)


PARTS = ("right", "values", "rates")


def strips(trace: Trace) -> Figure:
    """The steps of one painting: what each writes, and what is there then."""
    from fpa.reporting.figures.paintings import painting_strips

    return painting_strips(trace, [PAINTING], trace["right"].shape[2])


def update(trace: Trace) -> Figure:
    """One step: the image before, what is written as value times key, and the image after."""
    from fpa.reporting.figures.theme import POSITIVE, SIGNED, remove_frame

    before, after = written(trace, PAINTING, delta=True)[STEP - 1 : STEP + 1]
    left, key = (trace[name][PAINTING, 0, STEP] for name in ("left", "right"))
    bound = np.abs(after).max()
    figure, axes = plt.subplots(1, 3, figsize=(6.75, 2.2))
    shown = {"cmap": SIGNED, "vmin": -bound, "vmax": bound, "interpolation": "nearest"}
    for ax, matrix, title in zip(
        axes,
        (before, np.outer(left, key), after),
        (f"after step {STEP}", f"written at step {STEP + 1}", f"after step {STEP + 1}"),
        strict=True,
    ):
        ax.imshow(matrix, **shown)
        ax.set_xlabel(title)
        remove_frame(ax)
    above = axes[1].inset_axes((0, 1.04, 1, 0.1))
    above.imshow(key[None], cmap=POSITIVE, vmin=0, aspect="auto", interpolation="nearest")
    above.set_title("key", pad=2)
    beside = axes[1].inset_axes((-0.14, 0, 0.1, 1))
    beside.imshow(left[:, None], aspect="auto", **shown)
    beside.set_ylabel("value, new part")
    for ax in (above, beside):
        remove_frame(ax)
    for ax, sign in zip(axes[1:], "+=", strict=True):
        ax.text(-0.38, 0.5, sign, transform=ax.transAxes, ha="center", va="center", size=14)
    return figure


def rules(trace: Trace) -> Figure:
    """The same keys, values and rates, written by two rules."""
    from fpa.reporting.figures.theme import show_image

    steps = trace["right"].shape[2]
    shown = np.linspace(steps / 8, steps, 8).astype(int)
    figure, axes = plt.subplots(2, len(shown), figsize=(6.75, 1.95))
    names = {"delta rule": True, "added up": False}
    for row, (name, delta) in zip(axes, names.items(), strict=True):
        matrices = written(trace, PAINTING, delta)
        for ax, step in zip(row, shown, strict=True):
            show_image(ax, np.tanh(matrices[step - 1])[None].clip(0, 1))
            if delta:
                ax.set_title(f"{step}", pad=2)
        row[0].set_ylabel(name)
    return figure


def numbers(many: Trace) -> Figure:
    """How much of the image there is after each step, and its effective rank."""
    from fpa.reporting.figures.paintings import BAND
    from fpa.reporting.figures.theme import COLOURS

    figure, axes = plt.subplots(1, 2, figsize=(5, 1.9))
    titles = {"explained": "share of the image explained", "effective_rank": "effective rank"}
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        steps = np.arange(1, many[name].shape[1] + 1)
        low, high = np.percentile(many[name], BAND, axis=0)
        ax.fill_between(steps, low, high, color=COLOURS[0], alpha=0.25, lw=0)
        ax.plot(steps, many[name].mean(axis=0), color=COLOURS[0])
        ax.set(title=title, xlabel="step")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return figure


def draw(out: Path) -> list[Path]:
    """Write every figure to a folder; their paths."""
    from fpa.reporting.figures.theme import save_figure, use_theme

    with tempfile.TemporaryDirectory() as name:
        trace, many = load(Path(name))
    use_theme()
    drawn = {
        "strips": strips(trace),
        "update": update(trace),
        "rules": rules(trace),
        "numbers": numbers(many),
    }
    paths = [out / f"{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        save_figure(figure, [path])
    return paths


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for path in draw(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT):
        print(path)
