"""Scores by model and data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.evaluation.protocols import counted
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_needed
from fpa.reporting.measures import directions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def error_bars(context: Context) -> str:
    """What the error bars of scores are, in words."""
    if len(context.seeds) > 1:
        return f"Bars: standard deviation over {len(context.seeds)} trainings (seeds)"
    return (
        "One training of each model; bars: the standard error of sampling from it, where it is known. "
        "Another training of the same model can differ by several times as much"
    )


def specs(context: Context) -> Iterator[Spec]:
    """One for the experiment."""
    sizes = ", ".join(
        f"{protocol['name']} ({counted(protocol)})" for protocol in context.about["protocols"]
    )
    caption = (
        f"Scores by model and data set, by protocol {sizes}. {error_bars(context)}. "
        f"{directions(context.config['evaluation'])}"
    )
    yield context.spec(
        "scores",
        title="scores",
        category="Scores",
        caption=caption.rstrip(),
        inputs=(Input(artifacts.table("scores")),),
        lines=True,
        options={"seeds": context.seeds},
    )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.scores import score_panels

    table = load_needed(spec.inputs[0], results)
    return score_panels(table, spec.options["seeds"], spec.models)


register("scores", specs, draw)
