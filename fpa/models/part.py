"""Registrations of a model's exchangeable parts, which planning reads without importing torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fpa.core.registry import load_target


@dataclass(frozen=True)
class Part:
    """Something that a setting names, and the class behind it."""

    target: str | Callable[..., Any]
    """The class, or "package.module:Class" to import it only when it is needed."""
    version: int = 1
    """Raised when its behaviour changes: runs that use it are then trained again."""

    def load(self) -> Callable[..., Any]:
        """The class."""
        return load_target(self.target)
