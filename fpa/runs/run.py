"""A run: one resolved training, with the digest that names its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeAlias

from fpa.core import artifacts
from fpa.core.errors import UserError, said_of
from fpa.core.files import canonical_json, read_json
from fpa.core.registry import check_trusted
from fpa.data.sources import DatasetSpec, store_name
from fpa.models import loading
from fpa.models.interface import Model

Json: TypeAlias = dict[str, Any]
"""A JSON object, as it is read or written."""

MISSING = "not set"
LARGEST_IMAGE = 256
"""Width and height (px) that a configuration can ask for, at most."""
MADE_BY = "python -m fpa plan --write"
"""What writes a run's file."""


class _Part:
    """A part of a run. Numbers keep the type that they have in JSON, because digests see it."""

    def as_json(self) -> Json:
        """The part as JSON, without optional fields that are not set."""
        named = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}  # type: ignore[arg-type]
        return {
            name.rstrip("_"): value for name, (value, default) in named.items() if value != default
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """The inverse of `as_json`; TypeError for other fields."""
        return cls(**{"class_" if key == "class" else key: v for key, v in value.items()})


@dataclass(frozen=True)
class RunModel(_Part):
    """The model that is trained."""

    name: str
    """In the configuration."""
    class_: str
    """As "package.module:Class"."""
    settings: Json
    """Complete, as JSON."""
    finished: str = ""
    """Digest of the finished run that stands in the place of this training."""


@dataclass(frozen=True)
class Budget(_Part):
    """Of the settings in `training`, those that weights depend on."""

    kimg: float
    """Thousand real images that are shown to the discriminator."""
    batch_size: int
    watch_kimg: float
    """Thousand images between two quick scores; 0 for none."""
    watch_images: int = 0
    """Samples of each quick score."""
    watch_space: str = ""
    """The feature space of the quick scores (fpa.evaluation.protocols.Space)."""


@dataclass(frozen=True)
class Run:
    """One training: a data set, a model, a seed and a budget."""

    dataset: DatasetSpec
    model: RunModel
    training: Budget
    seed: int
    digest: str
    """SHA-256 of what the weights depend on (fpa.experiment.plan); taken when it is planned."""
    base: Run | None = None
    """The run that this one starts from."""

    def as_json(self) -> Json:
        """The run as JSON: what is stored with everything that it makes."""
        return {
            "dataset": self.dataset.as_json(),
            "model": self.model.as_json(),
            "training": self.training.as_json(),
            "seed": self.seed,
            "digest": self.digest,
            "base": self.base.as_json() if self.base else None,
        }

    @property
    def steps(self) -> int:
        """Training steps that the budget pays for."""
        return max(1, round(self.training.kimg * 1000 / self.training.batch_size))

    @property
    def is_finished(self) -> bool:
        """Whether a finished run stands in the place of its training."""
        return bool(self.model.finished)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of one image: (C, H, W)."""
        return (self.dataset.channels, self.dataset.resolution, self.dataset.resolution)

    @property
    def label(self) -> str:
        """The run's name for people."""
        return f"{self.dataset.name} {self.model.name} seed {self.seed}"

    @property
    def name(self) -> str:
        """The run's folder below its data set and model."""
        return artifacts.run_name(self.seed, self.digest)

    @property
    def folder(self) -> str:
        """The run's folder below the experiment's results."""
        return artifacts.run_folder(self.dataset.name, self.model.name, self.name)

    @property
    def store(self) -> str:
        """The folder of the run's prepared images, below the data folder."""
        return store_name(self.dataset)

    @classmethod
    def from_json(cls, value: Any, path: object = "the run") -> Run:
        """The inverse of `as_json`; UserError when it is something else, or an older version's.

        Its class is not imported, and refused unless it may be (fpa.core.registry).
        """
        try:
            if value.keys() != {"dataset", "model", "training", "seed", "digest", "base"}:
                raise ValueError
            run = cls(
                DatasetSpec.model_validate(value["dataset"]),
                RunModel.from_json(value["model"]),
                Budget.from_json(value["training"]),
                value["seed"],
                value["digest"],
                cls.from_json(value["base"], path) if value["base"] else None,
            )
            if not (isinstance(run.model.class_, str) and isinstance(run.model.settings, dict)):
                raise TypeError
            channels, size, _ = run.image_shape
            if not (size in range(8, LARGEST_IMAGE + 1) and channels in (1, 3)):
                raise ValueError
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path} is not a resolved run of this version; `{MADE_BY}` writes it"
            ) from error
        check_trusted(run.model.class_, path)
        return run


def read_run(path: str | Path) -> Run:
    """The run of a file that `MADE_BY` wrote; UserError when it holds none."""
    return Run.from_json(read_json(path, made_by=MADE_BY), path)


def differences(old: Any, new: Any, key: str = "") -> list[tuple[str, str, str]]:
    """Where two runs' configurations differ: (dotted key, old value, new value) as JSON text.

    Digests are left out: they differ because something else does.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for name in [*old, *(n for n in new if n not in old)]:
            if name == "digest":
                continue
            inner = f"{key}.{name}" if key else name
            found += differences(old.get(name, MISSING), new.get(name, MISSING), inner)
        return found
    old, new = (v if v is MISSING else canonical_json(v) for v in (old, new))
    return [] if old == new else [(key, old, new)]


def build_model(run: Run) -> Model:
    with said_of(f"model {run.model.name} on {run.dataset.name}"):
        return loading.build(
            run.model.class_,
            run.model.settings,
            run.dataset.resolution,
            run.dataset.channels,
            run.base.model.settings if run.base else None,
        )
