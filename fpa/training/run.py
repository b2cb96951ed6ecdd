"""A run: one resolved configuration, its digest and its places on disk.

The digest covers everything that the run's weights depend on, and is part of its folder's name:
two runs that differ never meet, and an unchanged run is found again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fpa.common.errors import UserError
from fpa.common.files import canonical_json, digest
from fpa.data.catalogue import store_name
from fpa.models import interface as contract

MISSING = "not set"


@dataclass(frozen=True)
class Run:
    """One training: a data set, a model, a seed and a budget."""

    dataset: Mapping[str, Any]
    """What says which images these are (fpa.data.catalogue.identity)"""
    model: Mapping[str, Any]
    """name, class, settings (complete)"""
    training: Mapping[str, Any]
    """kimg, batch_size, ... (schema: training)"""
    seed: int
    base: "Run | None" = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run as JSON: what is stored with everything that it makes."""
        return {
            "dataset": dict(self.dataset),
            "model": dict(self.model),
            "training": dict(self.training),
            "seed": self.seed,
            "base": self.base.config if self.base else None,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the run's configuration."""
        return digest(self.config)

    @property
    def steps(self) -> int:
        """Training steps that the budget pays for."""
        return max(1, round(self.training["kimg"] * 1000 / self.training["batch_size"]))

    @property
    def name(self) -> str:
        """The run's folder below its data set and model."""
        return f"seed{self.seed}-{self.digest[:10]}"

    @property
    def folder(self) -> str:
        """The run's folder below the experiment's results."""
        return f"runs/{self.dataset['name']}/{self.model['name']}/{self.name}"

    @property
    def store(self) -> str:
        """The folder of the run's prepared images, below the data folder."""
        return store_name(self.dataset)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Run":
        """The inverse of `config`."""
        base = config["base"]
        return cls(**{**config, "base": cls.from_config(base) if base else None})


def differences(old: Any, new: Any, key: str = "") -> list[tuple[str, str, str]]:
    """Where two runs' configurations differ: (dotted key, old value, new value) as JSON text."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for name in [*old, *(n for n in new if n not in old)]:
            inner = f"{key}.{name}" if key else name
            found += differences(old.get(name, MISSING), new.get(name, MISSING), inner)
        return found
    old, new = (v if v is MISSING else canonical_json(v) for v in (old, new))
    return [] if old == new else [(key, old, new)]


def build_model(run: Run) -> contract.Model:
    """Construct a run's model for its images."""
    try:
        return contract.build(
            run.model["class"],
            run.model["settings"],
            run.dataset["resolution"],
            run.dataset["channels"],
            run.base.model["settings"] if run.base else None,
        )
    except UserError as error:
        raise UserError(f"model {run.model['name']} on {run.dataset['name']}: {error}") from error
