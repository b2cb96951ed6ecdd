"""Every figure of an experiment. A figure is two functions that a module registers in FIGURES."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from fpa.core.errors import UserError
from fpa.experiment.experiment import Experiment
from fpa.reporting.figures.base import (
    FIGURES,
    Animation,
    Context,
    FigureKind,
    Input,
    Spec,
    register,
)

# The project's own, in the order of the report.
from fpa.reporting.figures import paintings, samples, scores, training  # isort: skip

__all__ = [
    "FIGURES",
    "Animation",
    "Context",
    "FigureKind",
    "Input",
    "Spec",
    "figures",
    "paintings",
    "played_inputs",
    "register",
    "samples",
    "scores",
    "training",
]


def figures(experiment: Experiment) -> dict[str, Spec]:
    """Every figure of an experiment by name, in the order of the report."""
    context = Context(experiment)
    found: dict[str, Spec] = {}
    for spec in _in_order(context, (s for kind in FIGURES.values() for s in kind.specs(context))):
        if spec.name in found:
            raise UserError(
                f"two figures are called '{spec.name}', of the kinds {found[spec.name].kind} and "
                f"{spec.kind}; name one of them otherwise"
            )
        found[spec.name] = spec
    return found


def _in_order(context: Context, specs: Iterable[Spec]) -> Iterator[Spec]:
    """Specifications by kind, but neighbouring kinds of a category data set by data set."""
    datasets = {name: place for place, name in enumerate(context.stores)}
    models = [*context.painters, *context.refiners]

    def place(spec: Spec) -> tuple[int, int]:
        model = models.index(spec.model) if spec.model in models else len(models)
        return datasets.get(spec.dataset, len(datasets)), model

    for _, group in groupby(specs, key=lambda spec: (spec.category, bool(spec.dataset))):
        yield from sorted(group, key=place)


def played_inputs(specs: Iterable[Spec]) -> list[Input]:
    """The painting traces that the report's page plays, each once."""
    return list({part.path: part for s in specs if s.played for part in s.inputs}.values())
