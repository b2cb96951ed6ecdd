"""Step statistics of every painter on every data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for an experiment with painters."""
    if context.painters:
        yield context.spec(
            "steps",
            title="step statistics",
            category="Paintings",
            caption="Step statistics by data set: mean and band (10th to 90th percentile) of "
            f"{context.shown['statistics']} paintings of each painter ({context.training_seed}). "
            "Learning rate; norm of the rank-1 update over the finished image's; explained share "
            "of the finished image; effective rank of the partial image.",
            inputs=context.statistics(None, context.painters),
            lines=True,
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.anatomy import step_statistics

    found: dict[str, dict[str, Any]] = {}
    for part in spec.inputs:
        found.setdefault(part.dataset, {})[part.model] = load(part, results)
    return step_statistics(found, spec.models)


register("steps", specs, draw)
