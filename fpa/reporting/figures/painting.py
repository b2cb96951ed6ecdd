"""Paintings step by step: the rank-1 updates and the partial images, as in the paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.reporting.figures.base import SCALING, Context, Spec, register
from fpa.reporting.figures.loading import load_needed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each painter and data set."""
    for dataset in context.stores:
        for model in context.painters:
            yield context.spec(
                "painting",
                dataset,
                model,
                title="painting step by step",
                category="Paintings",
                caption=f"{context.labels[model]} painting on {dataset} ({context.training_seed}): "
                "the rank-1 update of each step (top) and the partial image after it (bottom). "
                f"{SCALING} {context.chosen_paintings}.",
                inputs=context.traces(dataset, model),
                options={
                    "paintings": context.shown["strips"],
                    "steps": context.shown["strip_steps"],
                    "columns": context.shown["strip_columns"],
                },
                played=True,
            )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.pictures import painting_strips

    return painting_strips(load_needed(spec.inputs[0], results), **spec.options)


register("painting", specs, draw)
