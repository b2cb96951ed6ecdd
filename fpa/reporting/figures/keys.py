"""The keys, values and learning rates of single paintings."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load_needed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each painter and data set."""
    for dataset in context.stores:
        for model in context.painters:
            yield context.spec(
                "keys",
                dataset,
                model,
                title="keys and values",
                category="Paintings",
                caption=f"Keys and values of {context.labels[model]} on {dataset} "
                f"({context.training_seed}). Below each image its keys, one row a step, along the "
                "image's columns; beside it the values, one column a step, along the image's rows; "
                "in the corner the learning rate of each step. "
                f"{context.chosen_paintings}, each channel by itself.",
                inputs=context.traces(dataset, model),
                options={"paintings": context.shown["strips"]},
            )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.anatomy import keys_and_values

    return keys_and_values(load_needed(spec.inputs[0], results), **spec.options)


register("keys", specs, draw)
