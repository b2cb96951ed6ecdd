"""An experiment's runs and a model's settings, for the terminal."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fpa.core import artifacts
from fpa.core.files import write_json
from fpa.experiment.plan import Plan
from fpa.models.loading import find_model

if TYPE_CHECKING:
    from fpa.workflow.clean import Leftover
    from fpa.workflow.disk import Disk
    from fpa.workflow.effort import Effort


def write_runs(experiment: Plan) -> None:
    """Write the experiment's description and each run's resolved configuration."""
    experiment.claim()
    for run in experiment.all_runs():
        path = experiment.results / run.folder / artifacts.RUN
        if not path.exists():
            write_json(path, run.as_json())


def list_runs(experiment: Plan) -> Iterator[str]:
    """One line a run: its folder, its budget, and whether it is trained."""
    for run in experiment.runs:
        folder = experiment.results / run.folder
        state = "trained" if (folder / artifacts.WEIGHTS).exists() else "to train"
        yield f"{folder}  {run.training.kimg:g} kimg, {run.steps} steps, {state}"


def list_disk(disk: "Disk", together: int) -> Iterator[str]:
    """One line for each kind of file, and the peak."""
    rows = {
        **disk.kept,
        f"checkpoints of {together} in training": together * disk.training,
        f"samples and features of {together} in scoring": together * disk.scoring,
        "at most, together": disk.peak(together),
    }
    for kind, count in rows.items():
        yield f"{kind:<40} {_bytes(count):>10}"


def list_cost(
    found: "Sequence[Effort]", together: int, shortest: float, gpus: int, watts: float | None
) -> Iterator[str]:
    """One line for each model and data set, and the sum.

    shortest: hours until all is trained; gpus: those of a training (0: trained on the CPU, as far as
    is known); watts: what one training takes.
    """
    heads = ("model", "data set", "to train", "steps", "thousand images", "images/s", "hours")
    yield _row(heads)
    for effort in found:
        left = effort.runs - effort.trained
        numbers = (f"{effort.steps:,}", f"{effort.images / 1000:,.0f}")
        rate, hours = _known(effort.rate, ",.4g"), _known(effort.hours, ",.1f")
        row = (effort.model, effort.dataset, f"{left} of {effort.runs}", *numbers, rate, hours)
        yield f"{_row(row)}  {effort.source}"
    total = sum(effort.hours for effort in found)
    if math.isnan(total):
        yield (
            "hours are unknown: give speeds (--rate 120, or --rate fpa=120 ...), or --measure them here"
        )
        return
    parts = [f"{total:,.1f} hours of training steps", f"{shortest:,.1f} with {together} at a time"]
    if gpus:
        parts.append(f"on GPUs: {gpus * total:,.1f} GPU-hours")
    if watts:
        parts.append(f"{total * watts / 1000:,.1f} kWh at {watts:g} W a training")
    yield f"{'; '.join(parts)}. Quick scores, samples and scores come on top."


def _row(cells: Sequence[str]) -> str:
    first, second, *numbers = cells
    return f"{first:<20} {second:<14}" + "".join(f"{cell:>16}" for cell in numbers)


def _known(value: float, form: str) -> str:
    return "unknown" if math.isnan(value) else format(value, form)


def list_leftovers(found: Sequence["Leftover"], deleted: bool) -> Iterator[str]:
    """One line for each file or folder that may go, and what they take together."""
    for path, why in found:
        yield f"{path}  {why}"
    total = _bytes(sum(leftover.bytes for leftover in found))
    yield f"{len(found)} to delete, {total}{'' if deleted or not found else ' (--yes deletes them)'}"


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"


def list_settings(name: str) -> Iterator[str]:
    """The settings of the model `package.module:Class`, with defaults and descriptions."""
    schema = find_model(name, "class").settings.model_json_schema()
    yield name
    yield from _settings(schema, schema.get("$defs", {}), "  ")


def _settings(part: Mapping[str, Any], shared: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, below in part.get("properties", {}).items():
        reference = below.get("$ref") or next((p["$ref"] for p in below.get("allOf", [])), None)
        if reference:
            yield f"{indent}{key}:"
            yield from _settings(shared[reference.rpartition("/")[2]], shared, indent + "  ")
        else:
            text = below.get("description", "")
            default = json.dumps(below.get("default"))
            yield f"{indent}{key}: {default}{'  # ' + text if text else ''}"
