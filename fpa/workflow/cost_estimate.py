"""What an experiment takes before anyone starts it: trainings, steps, hours, energy, and disk space.

Estimates from shapes and speeds alone. Tables, figures and logs, some megabytes, are not counted.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpa.core.errors import UserError, did_you_mean
from fpa.core.provenance import processor
from fpa.data.sources import SOURCES
from fpa.evaluation.extractors import find_extractor
from fpa.evaluation.protocols import CHECK, Space
from fpa.experiment.plan import Plan
from fpa.runs import devices
from fpa.runs.execution import Execution
from fpa.runs.folder import KEPT_CHECKPOINTS, RunFolder
from fpa.runs.run import Run
from fpa.workflow.checks import image_count

# Hours and energy ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effort:
    """The trainings of one model on one data set."""

    model: str
    dataset: str
    runs: int
    trained: int
    steps: int
    """Of those that are still to be trained."""
    images: float
    """Real images shown in them."""
    rate: float
    """Images per second in training; NaN where nobody knows."""
    source: str
    """Where the rate comes from."""

    @property
    def hours(self) -> float:
        """Of training steps, one training at a time. Quick scores, samples and scores come on top."""
        return self.images / self.rate / 3600 if self.images else 0.0


def read_rates(texts: Sequence[str], plan: Plan) -> dict[str, float]:
    """Images per second by model, from `120` (every model) or `fpa=120`; UserError for another text."""
    rates: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if equals and name not in plan.models:
            known = did_you_mean(name, list(plan.models))
            raise UserError(f"--rate {text}: there is no model '{name}'{known}")
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise UserError(
                f"--rate {text}: expected images per second, as in 120, or fpa=120 for one model"
            )
        rates |= dict.fromkeys([name] if equals else plan.models, rate)
    return rates


def efforts(plan: Plan, given: Mapping[str, float], measure: float = 0) -> Iterator[Effort]:
    """One for each model and data set, in the experiment's order, those started from included.

    A rate is the one given, or that of the run's cost file, or is measured here for about so many
    seconds (0: not at all).
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in plan.all_runs():
        groups.setdefault((run.dataset.name, run.model.name), []).append(run)
    for (dataset, model), runs in groups.items():
        left = [r for r in runs if not RunFolder(plan.results / r.folder).is_finished]
        rate, source = _rate(plan, runs, given.get(model), measure if left else 0)
        yield Effort(
            model,
            dataset,
            len(runs),
            len(runs) - len(left),
            sum(run.steps for run in left),
            1000 * sum(run.training.kimg for run in left),
            rate,
            source,
        )


def _rate(
    plan: Plan, runs: Sequence[Run], given: float | None, seconds: float
) -> tuple[float, str]:
    if given:
        return given, "given"
    for run in runs:
        if cost := RunFolder(plan.results / run.folder).read_cost():
            return cost.training_images_per_second, f"measured on {processor(cost.hardware)}"
    if not seconds:
        return math.nan, "unknown"
    from fpa.training.cost import cost_of

    runtime = plan.config.runtime
    execution = Execution(runtime.precision, runtime.channels_last, runtime.compile)
    device = devices.choose(runtime.device, runtime.train_threads, execution.precision)
    measured = cost_of(runs[0], device, seconds, execution)
    return measured.training_images_per_second, "measured now"


def shortest_hours(plan: Plan, found: Sequence[Effort], together: int) -> float:
    """Hours until all is trained with so many trainings at a time, if none ever waits for a place.

    A training that starts from another one comes after it, whatever the places.
    """
    alone = {(e.dataset, e.model): e.hours / left for e in found if (left := e.runs - e.trained)}

    def chain(run: Run) -> float:
        before = chain(run.base) if run.base else 0.0
        return before + alone.get((run.dataset.name, run.model.name), 0.0)

    longest = max((chain(run) for run in plan.runs), default=0.0)
    return max(longest, sum(effort.hours for effort in found) / together)


def list_cost(
    found: Sequence[Effort], together: int, shortest: float, gpus: int, watts: float | None
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


# Disk space --------------------------------------------------------------------------------------

FLOAT = 4
CLASSES = 1_008
"""Logits of a network that has them; EfficientNet-Lite0 has eight fewer."""


@dataclass(frozen=True)
class DiskUsage:
    """Bytes of an experiment's files by kind."""

    kept: dict[str, int]
    """What stays: archives, prepared images, real features, finished runs, samples shown."""
    training: int
    """While a run is trained: its checkpoints, and one more while it is written."""
    scoring: int
    """While a run is scored: its samples and their features."""

    def peak(self, together: int) -> int:
        """When all else is done and so many runs are trained, and as many scored, at a time."""
        return sum(self.kept.values()) + together * (self.training + self.scoring)


def disk_usage(plan: Plan) -> DiskUsage:
    """The disk space that an experiment takes; builds each model without memory for its weights."""
    counts = {name: image_count(plan, spec) for name, spec in plan.datasets.items()}
    # Planning imports no torch; only this question needs the models themselves.
    from fpa.training.cost import bytes_on_disk

    one_each = {_kind(run): run for run in plan.all_runs()}
    sizes = {kind: bytes_on_disk(run) for kind, run in one_each.items()}
    spaces = {protocol.space for protocol in plan.by_features}
    if plan.evaluation.cross_check:
        spaces |= {s for p in plan.by_features for s in p.checked_spaces}
    widths = sum(_width(space, logits=False) for space in spaces)
    pixels = {name: spec.channels * spec.resolution**2 for name, spec in plan.datasets.items()}
    scored = plan.sample_count
    first = plan.config.seeds[0]
    return DiskUsage(
        {
            "archives": sum(_archives(plan)),
            "prepared images": sum(counts[name] * pixels[name] for name in counts),
            "features of real images": sum(counts.values()) * widths * FLOAT,
            "finished runs": sum(sizes[_kind(run)][0] for run in plan.all_runs()),
            "samples shown": sum(
                plan.shown_count * pixels[run.dataset.name]
                for run in plan.runs
                if run.seed == first
            ),
        },
        max(state for _, state in sizes.values()) * (KEPT_CHECKPOINTS + 1),
        scored * (max(pixels.values()) + FLOAT * sum(_width(space, True) for space in spaces)),
    )


def _archives(plan: Plan) -> Iterator[int]:
    """Each archive once: as large as it is, or as it is said to be."""
    sources = {spec.path: SOURCES[spec.source] for spec in plan.datasets.values()}
    for path, source in sources.items():
        if path is not None and Path(path).expanduser().is_file():
            yield Path(path).expanduser().stat().st_size
        elif source.size:
            yield round(float(source.size.removesuffix(" GB")) * 1e9)


def _width(space: Space, logits: bool) -> int:
    """Numbers that are stored of an image."""
    network, _ = find_extractor(space.extractor, "protocol")
    return network.features + CLASSES * (
        logits and space.resize == CHECK and len(network.layers) > 1
    )


def _kind(run: Run) -> tuple[str, int, int]:
    return run.model.name, run.dataset.resolution, run.dataset.channels


def list_disk(disk: DiskUsage, together: int) -> Iterator[str]:
    """One line for each kind of file, and the peak."""
    rows = {
        **disk.kept,
        f"checkpoints of {together} in training": together * disk.training,
        f"samples and features of {together} in scoring": together * disk.scoring,
        "at most, together": disk.peak(together),
    }
    for kind, count in rows.items():
        yield f"{kind:<40} {format_bytes(count):>10}"


def format_bytes(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
