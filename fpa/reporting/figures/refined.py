"""Images before and after the U-Net of a refiner."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.reporting.figures.base import Context, Spec, register
from fpa.reporting.figures.loading import load_needed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for each refiner and data set."""
    for dataset in context.stores:
        for model in context.refiners:
            yield context.spec(
                "refined",
                dataset,
                model,
                title="before and after the U-Net",
                category="Paintings",
                caption=f"Images on {dataset} as the frozen painter leaves them (top) and as the "
                f"U-Net of {context.labels[model]} refines them (bottom); {context.training_seed}, "
                f"the first {context.shown['paintings']} of the fixed sample seed, not chosen. "
                f"{_painter(context, model)}",
                inputs=context.traces(dataset, model),
                played=True,
            )


def _painter(context: Context, model: str) -> str:
    """Which painter is refined, beside the one whose score stands in the tables."""
    described = context.config["models"][model]
    start = {"checkpoint": "best", "painter": "raw", **described["settings"].get("start", {})}
    base = context.labels[described["base"]]
    if start["checkpoint"] != context.checkpoint:
        return f"The painter is that of {base}'s {start['checkpoint']} checkpoint."
    if start["painter"] == "ema":
        return f"The painter is the one that {base} is scored by."
    return f"The painter is the trained one, whose EMA {base} is scored by."


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.pictures import before_after

    trace = load_needed(spec.inputs[0], results)
    return before_after(trace, range(len(trace["image"])))


register("refined", specs, draw)
