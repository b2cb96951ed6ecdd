"""What a figure is: what it shows, from which artifacts, and the function that draws it.

A figure is two functions. `specs` says what there is to draw for an experiment and from which files: the
workflow asks every figure at each start. `draw` reads these files, paths below the results folder, and
gives a matplotlib figure or an animation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fpa.core import artifacts
from fpa.core.errors import UserError, in_words
from fpa.core.lazy import pd
from fpa.core.registry import Registry
from fpa.evaluation.run_artifacts import ARTIFACTS
from fpa.experiment.experiment import Experiment
from fpa.reporting.results import load_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

SCALING = (
    "Every picture is scaled to the Frobenius norm of the finished image (before the tanh, over "
    "all channels) and then goes through the tanh where the image does."
)


@dataclass(frozen=True)
class Input:
    """An artifact that a figure shows, and the run that it belongs to."""

    path: str
    dataset: str = ""
    model: str = ""
    seed: int = 0
    optional: bool = False
    """Whether it is shown where it is there: no job waits for it, and a bundle may lack it."""


@dataclass(frozen=True)
class Spec:
    """One figure: everything that it depends on, besides the contents of its inputs."""

    name: str
    """File name without its ending."""
    kind: str
    """The registered kind that draws it."""
    category: str
    """Section of the report."""
    labels: Mapping[str, str]
    """What it shows, by aspect: figure, data set, model."""
    caption: str
    inputs: tuple[Input, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    """Every model of the experiment, name -> label: colours go by this order."""
    endings: tuple[str, ...] = ("png", "pdf")
    """These two of a figure, or ("gif",) of an animation: the workflow has a rule for each."""
    dataset: str = ""
    """The one data set that it shows, if it is one."""
    model: str = ""
    """The one model that it shows, if it is one."""
    played: bool = False
    """Whether its inputs are painting traces that the report's page plays."""
    lines: bool = False
    """Whether it is a plot without images: a dark page inverts its colours."""

    @property
    def files(self) -> list[str]:
        """Its files, below the results folder."""
        return [artifacts.figure(self.name, ending) for ending in self.endings]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Animation(NamedTuple):
    """Frames and how long each is shown."""

    frames: Sequence[Image]
    seconds: Sequence[float]

    @classmethod
    def staying(cls, frames: Sequence[Image], seconds: float, last: float) -> Animation:
        """Frames of equal length, but for the last one."""
        return cls(frames, [seconds] * (len(frames) - 1) + [last])


class Context:
    """An experiment, and what specifications need to know of it."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.config = experiment.config
        self.shown = self.config.figures
        self.labels = experiment.labels
        self.seeds = list(self.config.seeds)
        self.checkpoint = self.config.evaluation.checkpoint
        self.sample_seed = self.config.evaluation.seed
        self.stores = {dataset.name: dataset.store for dataset in experiment.datasets}
        # Paintings that are shown one by one: the planner fills them in.
        self.strips = list(self.shown.strips or ())
        steps = self.shown.strip_steps
        self.strip_steps = steps if isinstance(steps, int) else list(steps)
        # A refiner's painting trace is that of the painter that it starts from.
        bases = {name: model.base for name, model in self.config.models.items()}
        self.painters = [name for name in experiment.painters if bases[name] is None]
        self.refiners = [name for name in experiment.painters if bases[name] is not None]

    def inputs(
        self,
        file: str,
        dataset: str | None = None,
        models: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        optional: bool = False,
    ) -> tuple[Input, ...]:
        """A file of every run, or of those on a data set, of some models, with some seeds."""
        return tuple(
            Input(f"{run.folder}/{file}", run.dataset, run.model, run.seed, optional)
            for run in self.experiment.runs_of(dataset)
            if (models is None or run.model in models) and (seeds is None or run.seed in seeds)
        )

    def first_inputs(
        self,
        file: str,
        dataset: str | None = None,
        models: Sequence[str] | None = None,
        optional: bool = False,
    ) -> tuple[Input, ...]:
        """The same of the runs with the first training seed only."""
        return self.inputs(file, dataset, models, [self.experiment.first_seed], optional)

    def traces(self, dataset: str, model: str) -> tuple[Input, ...]:
        """The painting traces of a model on a data set."""
        made = ARTIFACTS["paintings"]
        file = made.file(self.checkpoint, self.shown.paintings, seed=self.sample_seed)
        return self.first_inputs(file, dataset, [model])

    def statistics(self, dataset: str | None, models: Sequence[str]) -> tuple[Input, ...]:
        """The step statistics of painters."""
        made = ARTIFACTS["statistics"]
        file = made.file(self.checkpoint, self.shown.statistics, seed=self.sample_seed)
        return self.first_inputs(file, dataset, models)

    def spec(
        self,
        kind: str,
        dataset: str = "",
        model: str = "",
        *,
        title: str,
        category: str,
        caption: str,
        inputs: tuple[Input, ...],
        name: str = "",
        **more: Any,
    ) -> Spec:
        """A specification; without a name it is called by its kind, data set and model."""
        aspects = {
            "figure": title,
            "data set": dataset,
            "model": self.labels.get(model, ""),
        }
        return Spec(
            name=name or "-".join(filter(None, [kind, dataset, model])),
            kind=kind,
            category=category,
            labels={aspect: value for aspect, value in aspects.items() if value},
            caption=caption,
            inputs=inputs,
            models=self.labels,
            dataset=dataset,
            model=model,
            **more,
        )

    @property
    def training_seed(self) -> str:
        """The first training seed, in words."""
        return f"training seed {self.experiment.first_seed}"

    @property
    def chosen_paintings(self) -> str:
        """Which paintings are shown one by one, in words."""
        numbers = in_words([str(n + 1) for n in self.strips])
        return f"Paintings {numbers} of the fixed sample seed {self.sample_seed}"

    @property
    def error_bars(self) -> str:
        """What the error bars of scores are, in words."""
        if len(self.seeds) > 1:
            return f"Bars: standard deviation over {len(self.seeds)} trainings (seeds)"
        return (
            "One training of each model; bars: the standard error of sampling from it, where it is known. "
            "Another training of the same model can differ by several times as much"
        )


Specs = Callable[[Context], Iterator[Spec]]
Draw = Callable[[Spec, Path], "Figure | Animation"]


class FigureKind(NamedTuple):
    """A kind of figure.

    `specs` gives the specifications of an experiment's figures of this kind. `draw` takes one of
    them and the results folder, and returns a matplotlib figure (drawn in the project's style, saved
    as .png and .pdf) or an Animation (saved as .gif).
    """

    kind: str
    specs: Specs
    draw: Draw


FIGURES: Registry[FigureKind] = Registry("figure", FigureKind)
"""Every kind of figure, in the order of the report."""


def register(kind: str, specs: Specs, draw: Draw) -> FigureKind:
    """Add a kind of figure to those that every experiment has."""
    return FIGURES.register(kind, FigureKind(kind, specs, draw))


# What figures show -----------------------------------------------------------------------------


def load(part: Input, results: Path) -> Any:
    """An input's array (or arrays by name, or table, or JSON); None where it is missing."""
    return load_file(results / part.path)


def load_needed(part: Input, results: Path) -> Any:
    """The same, but a missing input is a UserError."""
    found = load(part, results)
    if found is None:
        raise UserError(f"cannot draw without {results / part.path}; is its run finished?")
    return found


def load_by_model(spec: Spec, results: Path) -> dict[str, Any]:
    """Every input by its model, None where it is missing."""
    return {part.model: load(part, results) for part in spec.inputs}


def load_histories(spec: Spec, results: Path) -> list[tuple[str, int, pd.DataFrame]]:
    """(model, seed, history) of each run that has one."""
    loaded = ((part, load(part, results)) for part in spec.inputs)
    return [(part.model, part.seed, history) for part, history in loaded if history is not None]
