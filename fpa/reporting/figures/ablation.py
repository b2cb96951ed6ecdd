"""Scores over the painters' number of steps."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.common import artifacts
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_needed
from fpa.reporting.figures.scores import error_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for an experiment whose painters take different numbers of steps."""
    steps = {run["model"]: run["painter_steps"] for run in context.runs if run["painter_steps"]}
    if len(set(steps.values())) > 1:
        yield context.spec(
            "ablation",
            name="ablation-steps",
            title="scores over painting steps",
            category="Scores",
            caption="The effect of the number of painting steps on the scores. "
            f"{error_bars(context)}.",
            inputs=(Input(artifacts.table("scores")),),
            lines=True,
            options={"steps": steps},
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.scores import metric_over_steps

    table = load_needed(spec.inputs[0], results)
    return metric_over_steps(table, spec.options["steps"], spec.models)


register("ablation", specs, draw)
