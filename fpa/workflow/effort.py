"""What an experiment costs before anyone starts it: trainings, steps, hours, GPU-hours, energy."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fpa.core import artifacts
from fpa.core.errors import UserError, did_you_mean
from fpa.core.files import read_json
from fpa.core.provenance import processor
from fpa.experiment.plan import Plan
from fpa.runs.run import Run


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


def read_rates(texts: Sequence[str], experiment: Plan) -> dict[str, float]:
    """Images per second by model, from `120` (every model) or `fpa=120`; UserError for another text."""
    rates: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if equals and name not in experiment.models:
            known = did_you_mean(name, list(experiment.models))
            raise UserError(f"--rate {text}: there is no model '{name}'{known}")
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise UserError(
                f"--rate {text}: expected images per second, as in 120, or fpa=120 for one model"
            )
        rates |= dict.fromkeys([name] if equals else experiment.models, rate)
    return rates


def efforts(experiment: Plan, given: Mapping[str, float], measure: float = 0) -> Iterator[Effort]:
    """One for each model and data set, in the experiment's order, those started from included.

    A rate is the one given, or that of the run's cost file, or is measured here for about so many
    seconds (0: not at all).
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in experiment.all_runs():
        groups.setdefault((run.dataset.name, run.model.name), []).append(run)
    for (dataset, model), runs in groups.items():
        left = [r for r in runs if not (experiment.results / r.folder / artifacts.SUMMARY).exists()]
        rate, source = _rate(experiment, runs, given.get(model), measure if left else 0)
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
    experiment: Plan, runs: Sequence[Run], given: float | None, seconds: float
) -> tuple[float, str]:
    if given:
        return given, "given"
    for run in runs:
        path = experiment.results / run.folder / artifacts.COST
        if path.exists():
            cost = read_json(path)
            where = f"measured on {processor(cost['hardware'])}"
            return float(cost["training_images_per_second"]), where
    if not seconds:
        return math.nan, "unknown"
    from fpa.runs import devices
    from fpa.runs.execution import Execution
    from fpa.training.cost import cost_of

    runtime = experiment.config.runtime
    execution = Execution(runtime.precision, runtime.channels_last, runtime.compile)
    device = devices.choose(runtime.device, runtime.train_threads, execution.precision)
    cost = cost_of(runs[0], device, seconds, execution)
    return float(cost["training_images_per_second"]), "measured now"


def shortest_hours(experiment: Plan, found: Sequence[Effort], together: int) -> float:
    """Hours until all is trained with so many trainings at a time, if none ever waits for a place.

    A training that starts from another one comes after it, whatever the places.
    """
    alone = {(e.dataset, e.model): e.hours / left for e in found if (left := e.runs - e.trained)}

    def chain(run: Run) -> float:
        before = chain(run.base) if run.base else 0.0
        return before + alone.get((run.dataset.name, run.model.name), 0.0)

    longest = max((chain(run) for run in experiment.runs), default=0.0)
    return max(longest, sum(effort.hours for effort in found) / together)
