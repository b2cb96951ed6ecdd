"""The quick scores over training."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.core.words import in_words
from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load_histories

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set."""
    count = len(context.seeds)
    band = (
        f"mean of {count} seeds, band from the lowest to the highest"
        if count > 1
        else "one seed, so no band"
    )
    training = context.config["training"]
    protocols = {protocol["name"]: protocol for protocol in context.about["protocols"]}
    extractor = protocols[training["watch_protocol"]]["extractor"]
    for dataset in context.stores:
        yield context.spec(
            "progress",
            dataset,
            title="quick scores over training",
            category="Training",
            caption=f"Fréchet distance, precision and recall of the EMA generator on {dataset} while it "
            f"trains ({training['watch_images']:,} samples of its own, {training['watch_protocol']} "
            f"protocol, {extractor} features): {band}.{_before(context)}",
            inputs=context.inputs(artifacts.HISTORY, dataset),
            lines=True,
            options={"extractor": extractor},
        )


def _before(context: Context) -> str:
    """What the dotted lines are, where there are any."""
    refined = [context.labels[name] for name in context.refiners]
    return f" Dotted: the frozen painter below {in_words(refined)}." if refined else ""


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.curves import progress

    return progress(load_histories(spec, results), spec.models, spec.options["extractor"])


register("progress", specs, draw)
