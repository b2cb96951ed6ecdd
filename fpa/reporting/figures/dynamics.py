"""Numbers over the steps of one painter."""

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
                "dynamics",
                dataset,
                model,
                title="numbers over the steps",
                category="Paintings",
                caption=f"{context.labels[model]} on {dataset} ({context.training_seed}), step by "
                "step: mean and band (10th to 90th percentile) of "
                f"{context.shown['statistics']} paintings, and some single ones. Norm: Frobenius "
                "norm of the rank-1 update over that of the finished image W. Share: inner product "
                "of update and W over the squared norm of W (all shares sum to 1). Explained: 1 - "
                "squared distance to W over squared norm of W. Rank at float32's precision; "
                "effective rank: exp of the entropy of the singular values; both, and the singular "
                "values over the largest one of W, are of the partial image before the tanh, means "
                "over channels.",
                inputs=(*context.traces(dataset, model), *context.statistics(dataset, [model])),
                lines=True,
                options={"paintings": context.shown["strips"], "model": model},
            )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.anatomy import dynamics
    from fpa.reporting.drawing.theme import model_colours

    trace, many = (load_needed(part, results) for part in spec.inputs)
    colour = model_colours(list(spec.models))[spec.options["model"]]
    return dynamics(trace, many, spec.options["paintings"], colour)


register("dynamics", specs, draw)
