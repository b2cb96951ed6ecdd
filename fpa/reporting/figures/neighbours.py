"""Memorisation check: samples with their nearest training images."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.reporting.description import first_protocol, neighbours_file
from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load_by_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set, in the feature space of the first protocol."""
    protocol = first_protocol(context.about)
    file = neighbours_file(context.about)
    above = ", above their nearest training images" if context.real_images else ""
    for dataset in context.stores:
        yield context.spec(
            "neighbours",
            dataset,
            title="nearest training images",
            category="Samples",
            caption=f"Memorisation check on {dataset} ({context.training_seed}): the first samples, "
            f"not chosen{above}. Right: the distances of all samples (2,000 at most) to their nearest "
            f"training image, in {protocol['extractor']} features, against those between training images. A "
            "model that copies lies left of the grey curve, near zero.",
            inputs=context.first_inputs(file, dataset),
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.pictures import neighbours

    return neighbours(load_by_model(spec, results), spec.models)


register("neighbours", specs, draw)
