"""What planning knows of a model class without importing its networks, which need torch."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from fpa.core.registry import load_target


class Checks(Protocol):
    """Settings that know which images their networks can be built for."""

    def check(self, image_size: int, channels: int, base: Mapping[str, Any] | None) -> None:
        """UserError unless the networks can be built; `base`: settings of the base's run."""


@dataclass(frozen=True)
class Declaration:
    """A model class as a package declares it in its MODELS, by the class's name.

    A class that no MODELS lists works as well: what stands here is then taken from the class, which
    is imported for it (see `fpa.models.loading`).
    """

    target: str | type
    """The class, or "package.module:Class"."""
    settings: type[BaseModel]
    """Its settings: the constructor's keyword arguments but image_size, channels and base."""
    version: int = 1
    """Raised when the class's training behaves differently: its runs are then trained again."""
    needs_base: bool = False
    """Whether it starts from a finished run of another model (interface.StartsFromRun)."""
    data_parallel: bool = False
    """Whether several processes may share a batch."""
    paints: bool = False
    """Whether it shows how it paints (interface.Paints)."""
    trains_with: tuple[str, ...] = ()
    """Feature networks that it trains with, by the extractors' names without a size, as in a
    Projected GAN's ("efficientnet_lite0",): scores in their features do not rank it."""

    def load(self) -> type:
        """The class itself."""
        return load_target(self.target)


def lazily(
    package: str, models: Mapping[str, Declaration]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: declared classes are imported at their first use."""

    def get(name: str) -> Any:
        if name in models:
            return models[name].load()
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: [*vars(sys.modules[package]), *models]
