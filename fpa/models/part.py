"""Registrations of a model's exchangeable parts, which planning reads without importing torch."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """Something that a setting names, and the class behind it."""

    target: str | Callable[..., Any]
    """The class, or "package.module:Class" to import it only when it is needed."""
    version: int = 1
    """Raised when its behaviour changes: runs that use it are then trained again."""

    def load(self) -> Callable[..., Any]:
        """The class."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)
