"""Uncurated samples of every model beside real images."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.reporting.description import samples_file
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_by_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set."""
    count = context.shown["grid"]
    beside = " beside the first real images" if context.real_images else ""
    for dataset, store in context.stores.items():
        yield context.spec(
            "samples",
            dataset,
            title="samples",
            category="Samples",
            caption=f"Uncurated samples of each model on {dataset} (the first {count} of those "
            f"that are scored; {context.training_seed}){beside}.",
            inputs=(
                *[Input(artifacts.real_samples(store, count), dataset)] * context.real_images,
                *context.first_inputs(samples_file(context.about), dataset),
            ),
            options={"count": count},
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.pictures import sample_grids

    grids = load_by_model(spec, results)
    return sample_grids(grids, {"": "real", **spec.models}, spec.options["count"])


register("samples", specs, draw)
