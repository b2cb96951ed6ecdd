"""Scores over the painters' number of steps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.reporting.figures.base import Context, Input, Spec, register
from fpa.reporting.figures.loading import load_needed
from fpa.reporting.figures.scores import error_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def specs(context: Context) -> Iterator[Spec]:
    """One for an experiment with painters that differ in their number of steps alone."""
    if steps := _steps(context):
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


def _steps(context: Context) -> dict[str, int]:
    """Steps by model, of the largest set of painters that are the same but for them."""
    steps = {run["model"]: run["painter_steps"] for run in context.runs if run["painter_steps"]}
    alike: dict[str, dict[str, int]] = {}
    for name, count in steps.items():
        model = context.config["models"][name]
        settings = model["settings"]
        painter = {k: v for k, v in settings.get("painter", {}).items() if k != "steps"}
        rest = {**settings, "painter": painter}
        key = json.dumps([model["class"], model["base"], model["training"], rest], sort_keys=True)
        alike.setdefault(key, {})[name] = count
    found = max(alike.values(), key=lambda group: len(set(group.values())), default={})
    return found if len(set(found.values())) > 1 else {}


def draw(spec: Spec, results: Path) -> "Figure":
    from fpa.reporting.drawing.scores import metric_over_steps

    table = load_needed(spec.inputs[0], results)
    return metric_over_steps(table, spec.options["steps"], spec.models)


register("ablation", specs, draw)
