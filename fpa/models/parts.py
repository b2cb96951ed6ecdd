"""A painter's exchangeable parts by name: learning rules, input generators and sequence networks.

Planning reads these registrations without importing torch. `fpa.models` fills them: rules register
themselves, and a network's class is imported when a painter is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fpa.core.registry import Registry

Importable = type | Callable[[], type]
"""A class, or a function without arguments that imports and returns it."""


def imported(what: Importable) -> type:
    """The class itself."""
    return what if isinstance(what, type) else what()


@dataclass(frozen=True)
class Part:
    """An input generator or a sequence network that a setting names."""

    network: Importable
    """Its class: what it is built from and what it has, says fpa.models.programs.Program."""
    version: int = 1
    """Raised when its behaviour changes: runs that use it are then trained again."""

    def load(self) -> Callable[..., Any]:
        """The class."""
        return imported(self.network)


@dataclass(frozen=True)
class Rule:
    """A learning rule that a setting names."""

    build: Callable[..., Any]
    """The class, or what else makes a fpa.models.learning_rules.LearningRule of PainterSettings."""
    version: int = 1
    """Raised when its behaviour changes: runs that use it are then trained again."""
    has_rates: bool = True
    """Whether it uses a learning rate."""
    vector_rates: bool = False
    """Whether it can use one rate for each row of W."""
    several_updates: bool = False
    """Whether a step may make several updates."""
    decays: bool = False
    """Whether earlier updates fade, so that a sum of the first ones is not a partial image."""


RULES: Registry[Rule] = Registry("learning rule", Rule)
INPUTS: Registry[Part] = Registry("input generator", Part)
SEQUENCES: Registry[Part] = Registry("sequence network", Part)
