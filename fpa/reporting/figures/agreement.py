"""How far the scores agree."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_needed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for the experiment."""
    yield context.spec(
        "agreement",
        title="agreement of scores",
        category="Scores",
        caption="Spearman's rank correlation of every pair of scores, by data set: over the finished "
        "models, over the quick scores of all checkpoints, and over those within one training (mean "
        "over trainings). 1 (blue): both put everything in the same order of quality; -1 (red): in the "
        "opposite one.",
        inputs=(Input(artifacts.table("agreement")),),
    )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.agreement import correlation_panels

    return correlation_panels(load_needed(spec.inputs[0], results))


register("agreement", specs, draw)
