"""An experiment as tables, figures and page know it: what `experiment.json` holds, and its claims.

`fpa.experiment.plan.Plan` makes it and writes it to the results folder, where everything that shows
results reads it. The folder can be moved to another machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fpa.core import artifacts
from fpa.core.errors import UserError, said_of
from fpa.core.files import read_json, write_json
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import Protocol
from fpa.experiment.config import Config, Number, check_section
from fpa.experiment.yaml_safety import read_yaml
from fpa.runs.run import Json

REPOSITORY = Path(__file__).parent.parent.parent
FORMAT = 2
"""Of `experiment.json`. What version 0.1 wrote has none, and its digests were others."""
UNDESCRIBED = {"runtime", "bundle", "claims"}
"""Sections of the configuration that change nothing that is made, or are described otherwise."""


class Entry(BaseModel):
    """A part of the description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataset(Entry):
    name: str
    store: str
    """The folder of its prepared images, below the data folder."""


class ModelEntry(Entry):
    name: str
    label: str
    """The name as shown."""
    paints: bool
    """Whether it shows how it paints."""


class RunEntry(Entry):
    dataset: str
    resolution: int
    model: str
    seed: int
    folder: str
    """Below the results folder."""
    digest: str
    kimg: Number
    painter_steps: int | None


class ProtocolEntry(Protocol):
    score: str
    """The name of a run's score file, without its ending."""

    @property
    def score_file(self) -> str:
        """A run's score by this protocol, in the run's folder."""
        return f"{self.score}.json"


class Claim(Entry):
    """One comparison that somebody states: which models should have the better score."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    says: str = Field(min_length=1)
    """The claim in words, as a sentence without its full stop."""
    source: str
    better: tuple[str, ...] = Field(min_length=1)
    """Names of models, each of which should be better than each of `than`."""
    than: tuple[str, ...] = Field(min_length=1)
    metric: str = "fid"
    paired: bool = False
    """Whether trainings of one seed belong together: one starts from the other."""
    alike: float | None = Field(default=None, gt=0, lt=1)
    """Instead: that the means differ by less than this share of `than`'s."""

    @model_validator(mode="after")
    def _of_known_parts(self) -> Claim:
        METRICS.find(self.metric, "metric")
        if set(self.better) & set(self.than):
            raise ValueError("no model can be better than itself")
        return self

    @property
    def models(self) -> set[str]:
        return {*self.better, *self.than}


class Experiment(Entry):
    """What was compared: the configuration, and the runs, protocols and artifacts that follow from it."""

    format: int = FORMAT
    name: str = Field(alias="experiment")
    config: Config
    """Resolved. How the work is done and packed (UNDESCRIBED) is not written, and has its defaults."""
    samples: str
    """The name of the samples that are scored, in a run's folder, without `samples-` and ending."""
    shown_samples: int
    """Samples of a run that the figures show, and that are kept."""
    protocols: tuple[ProtocolEntry, ...]
    datasets: tuple[Dataset, ...]
    models: tuple[ModelEntry, ...]
    runs: tuple[RunEntry, ...]
    claims: tuple[Claim, ...] = ()

    @classmethod
    def parse(cls, values: Any, path: str | Path) -> Experiment:
        """What `experiment.json` at this path holds; UserError when it cannot be used."""
        if not isinstance(values, Mapping) or "format" not in values:
            raise UserError(
                f"{path} was written by an older version, whose results this one does not read; use "
                "that version, or run the experiment again in another results folder"
            )
        if "shown_samples" not in values:
            # Before these were files of their own, the samples that are scored were shown.
            values = {**values, "shown_samples": max(p["n_fake"] for p in values["protocols"])}
        return check_section(cls, values, str(path), tolerant=True)

    @classmethod
    def read(cls, results: str | Path) -> Experiment:
        """The description in a results folder; UserError when there is none that can be used."""
        path = Path(results) / artifacts.EXPERIMENT
        return cls.parse(read_json(path, made_by="python -m fpa plan --write"), path)

    def write(self, results: Path) -> None:
        """Write it to a results folder, if something else or nothing is there."""
        path, values = results / artifacts.EXPERIMENT, self.as_json()
        if not path.exists() or read_json(path) != values:
            write_json(path, values)

    def as_json(self) -> Json:
        """What is written. Claims are left out where there are none, as by versions without them."""
        left_out: dict[str, set[str] | bool] = {"config": UNDESCRIBED}
        if not self.claims:
            left_out["claims"] = True
        return self.model_dump(mode="json", by_alias=True, exclude=left_out)

    def configuration(self) -> Json:
        """The configuration as it was written, for people to read."""
        return self.config.model_dump(
            mode="json", by_alias=True, exclude=UNDESCRIBED, exclude_unset=True
        )

    @property
    def labels(self) -> dict[str, str]:
        """Every model, in the experiment's order: name -> name as shown."""
        return {model.name: model.label for model in self.models}

    @property
    def watched(self) -> list[str]:
        """Names of the models that are scored while they train."""
        models = self.config.models
        return [name for name, model in models.items() if model.training.watch_kimg]

    @property
    def painters(self) -> list[str]:
        """Names of the models that show how they paint."""
        return [model.name for model in self.models if model.paints]

    @property
    def first_seed(self) -> int:
        """The one whose runs are shown, compared with training images and measured."""
        return self.config.seeds[0]

    def runs_of(
        self, dataset: str | None = None, model: str | None = None, seed: int | None = None
    ) -> list[RunEntry]:
        """The runs of a data set, a model and a seed; of all where none is named."""
        return [
            run
            for run in self.runs
            if dataset in (None, run.dataset)
            and model in (None, run.model)
            and seed in (None, run.seed)
        ]

    @property
    def by_features(self) -> list[ProtocolEntry]:
        """The protocols in whose features images are compared."""
        return [protocol for protocol in self.protocols if not protocol.of_paths]

    @property
    def first_protocol(self) -> ProtocolEntry:
        """The first of them."""
        return self.by_features[0]

    @property
    def samples_file(self) -> str:
        """A run's generated images for the figures, in its folder."""
        evaluation = self.config.evaluation
        return artifacts.samples(evaluation.checkpoint, self.shown_samples, evaluation.seed)

    @property
    def neighbours_file(self) -> str:
        """A run's samples with their nearest training images, in its folder."""
        evaluation = self.config.evaluation
        return artifacts.neighbours(
            evaluation.checkpoint,
            self.config.figures.neighbours,
            evaluation.seed,
            self.first_protocol.space,
        )


# Claims ------------------------------------------------------------------------------------------


def read_claims(path: str | Path) -> list[Claim]:
    """The claims in a file, a YAML list of them; UserError names the first thing wrong with it.

    A relative path that is not in the working directory is looked for beside this package, so that
    `experiments/claims.yaml` is found from everywhere.
    """
    beside = REPOSITORY / path
    found = read_yaml(path if Path(path).exists() or not beside.exists() else beside, "the claims")
    if not isinstance(found, list):
        raise UserError(f"{path} holds no claims (expected a list of them)")
    claims = []
    for number, entry in enumerate(found, start=1):
        name = entry.get("name", number) if isinstance(entry, dict) else number
        with said_of(f"{path}, claim {name}"):
            claims.append(check_section(Claim, entry))
    names = [claim.name for claim in claims]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path} has two claims called {twice}")
    return claims


def about_models(claims: Collection[Claim], models: Collection[str]) -> list[Claim]:
    """Those that an experiment with these models can judge."""
    return [claim for claim in claims if claim.models <= set(models)]
