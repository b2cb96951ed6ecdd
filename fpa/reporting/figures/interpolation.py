"""Images between pairs of latents."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load_by_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set."""
    file = artifacts.interpolations(
        context.checkpoint,
        context.shown["interpolations"],
        context.shown["frames"],
        context.sample_seed,
    )
    for dataset in context.stores:
        yield context.spec(
            "interpolation",
            dataset,
            title="latent interpolation",
            category="Samples",
            caption=f"From latent to latent on {dataset} ({context.training_seed}): spherical "
            "interpolation between two fixed latents a row, all else kept; not chosen.",
            inputs=context.first_inputs(file, dataset),
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.pictures import interpolations

    return interpolations(load_by_model(spec, results), spec.models)


register("interpolation", specs, draw)
