"""Losses over training."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load_histories

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set."""
    for dataset in context.stores:
        yield context.spec(
            "curves",
            dataset,
            title="losses",
            category="Training",
            caption=f"Losses on {dataset} over training, one line a run.",
            inputs=context.inputs(artifacts.HISTORY, dataset),
            lines=True,
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.curves import training_curves

    return training_curves(load_histories(spec, results), spec.models)


register("curves", specs, draw)
