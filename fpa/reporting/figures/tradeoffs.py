"""The Fréchet distance over the generators' size and over the time of a training."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.evaluation.protocols import counted
from fpa.reporting.description import first_protocol
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_needed
from fpa.reporting.figures.scores import error_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 3
"""Models below which the tables say as much."""


def specs(context: Context) -> Iterator[Spec]:
    """One for an experiment of several models, by its first protocol."""
    if len(context.labels) < FEWEST or "fid" not in context.config["evaluation"]["metrics"]:
        return
    protocol = first_protocol(context.about)
    yield context.spec(
        "tradeoffs",
        title="distance over size and time",
        category="Scores",
        caption="Fréchet distance over the generator's parameters (those of a frozen painter included) "
        f"and over the time of a training ({counted(protocol)}). The time is the "
        "budget divided by the speed in the table of models; that of a base is not included. "
        f"{error_bars(context)}.",
        inputs=(Input(artifacts.table("scores")), Input(artifacts.table("models"))),
        lines=True,
        options={"protocol": protocol["name"]},
    )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.tradeoffs import tradeoffs

    scores, models = (load_needed(part, results) for part in spec.inputs)
    scores = scores[scores["protocol"] == spec.options["protocol"]]
    return tradeoffs(scores, models, spec.models)


register("tradeoffs", specs, draw)
