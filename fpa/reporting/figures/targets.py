"""How many images and hours each model needs to reach a distance."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.reporting.description import target_distance, watched
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_needed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One, where models are scored while they train."""
    if watched(context.about):
        target = target_distance(context.about)
        which = f"of {target:g}" if target else "that the mean training of every model reaches"
        yield context.spec(
            "targets",
            title="images and hours to a target",
            category="Training",
            caption=f"Images shown, and hours of training, until the first quick score not above a "
            f"Fréchet distance {which}: a dot for each training, hollow at its budget where it did not "
            "get there.",
            inputs=(Input(artifacts.table("targets")),),
        )


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.targets import targets

    return targets(load_needed(spec.inputs[0], results), spec.models)


register("targets", specs, draw)
