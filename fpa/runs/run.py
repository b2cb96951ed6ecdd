"""A run: one resolved training, with the digest that names its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import canonical_json
from fpa.core.trust import check_trusted
from fpa.data.sources import DatasetSpec, store_name
from fpa.models import loading
from fpa.models.interface import Model

MISSING = "not set"
LARGEST_IMAGE = 256
"""Width and height (px) that a configuration can ask for, at most."""


@dataclass(frozen=True)
class Run:
    """One training: a data set, a model, a seed and a budget."""

    dataset: Mapping[str, Any]
    """What defines the images (fpa.data.sources.DatasetSpec.as_json)."""
    model: Mapping[str, Any]
    """name, class, settings (complete); finished, its digest, where it was not trained for this."""
    training: Mapping[str, Any]
    """kimg, batch_size, ... (schema: training), without what cannot change weights."""
    seed: int
    digest: str
    """SHA-256 of what the weights depend on (fpa.experiment.digests); taken when it is planned."""
    base: Run | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run as JSON: what is stored with everything that it makes."""
        return {
            "dataset": dict(self.dataset),
            "model": dict(self.model),
            "training": dict(self.training),
            "seed": self.seed,
            "digest": self.digest,
            "base": self.base.config if self.base else None,
        }

    @property
    def steps(self) -> int:
        """Training steps that the budget pays for."""
        return max(1, round(self.training["kimg"] * 1000 / self.training["batch_size"]))

    @property
    def is_finished(self) -> bool:
        """Whether a finished run stands in the place of its training."""
        return "finished" in self.model

    @property
    def name(self) -> str:
        """The run's folder below its data set and model."""
        return artifacts.run_name(self.seed, self.digest)

    @property
    def folder(self) -> str:
        """The run's folder below the experiment's results."""
        return artifacts.run_folder(self.dataset["name"], self.model["name"], self.name)

    @property
    def store(self) -> str:
        """The folder of the run's prepared images, below the data folder."""
        return store_name(DatasetSpec.from_json(self.dataset))

    @classmethod
    def from_config(cls, config: Any, path: object = "the run") -> Run:
        """The inverse of `config`; UserError when it is something else, or an older version's.

        Its class is not imported, and refused unless it may be (fpa.core.trust).
        """
        try:
            base = config["base"]
            run = cls(**{**config, "base": cls.from_config(base, path) if base else None})
            name, settings = run.model["class"], run.model["settings"]
            size, channels = run.dataset["resolution"], run.dataset["channels"]
            if not (isinstance(name, str) and isinstance(settings, dict)):
                raise TypeError
            if not (size in range(8, LARGEST_IMAGE + 1) and channels in (1, 3)):
                raise ValueError
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path} is not a resolved run of this version; `python -m fpa plan --write` "
                "writes it"
            ) from error
        check_trusted(name, path)
        return run


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
    """Construct a run's model for its images."""
    try:
        return loading.build(
            run.model["class"],
            run.model["settings"],
            run.dataset["resolution"],
            run.dataset["channels"],
            run.base.model["settings"] if run.base else None,
        )
    except UserError as error:
        raise UserError(f"model {run.model['name']} on {run.dataset['name']}: {error}") from error
