"""One list for each kind of thing that a configuration can name: metrics, extractors, rules, ...

What this project brings is registered in its package. A user's module does the same, and is named
under `plugins` in a configuration.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from fpa.core.errors import UserError, did_you_mean

T = TypeVar("T")

VARIABLE = "FPA_PLUGINS"
"""Environment variable with the modules that jobs import before they start, separated by commas."""


def load_target(target: Any) -> Any:
    """What "package.module:Name" stands for, imported now; anything but text is returned as it is."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


class Registry(Generic[T]):
    """Things of one kind by name, in the order in which they were registered."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it. UserError when the name is taken by another one."""
        if name in self._entries and self._entries[name] is not entry:
            raise UserError(f"there is a {self.kind} '{name}' already; choose another name")
        self._entries[name] = entry
        return entry

    def get(self, name: str, where: str = "") -> T:
        """The entry of a name; UserError, beginning with `where`, when there is none."""
        if name not in self._entries:
            place = f"{where}: " if where else ""
            raise UserError(f"{place}unknown {self.kind} '{name}'{did_you_mean(name, list(self))}")
        return self._entries[name]

    @contextmanager
    def restored(self, **replaced: T) -> Iterator[None]:
        """A block after which all entries are as before it; in it, some are replaced or added."""
        before = dict(self._entries)
        self._entries |= replaced
        try:
            yield
        finally:
            self._entries = before

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> Iterable[T]:
        return self._entries.values()

    def items(self) -> Iterable[tuple[str, T]]:
        return self._entries.items()


def load_plugins(names: Iterable[str]) -> None:
    """Import the modules that register things of a user's own; UserError when one cannot be.

    Modules are looked for as Python does, and in the working directory. Processes that are started
    from here on import the same ones.
    """
    names = list(names)
    if not names:
        return
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"plugins: cannot import '{name}': {error}; "
                "run from the folder that holds it, or add that folder to PYTHONPATH"
            ) from error
    known = [name for name in os.environ.get(VARIABLE, "").split(",") if name]
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*known, *names]))


def load_inherited_plugins() -> None:
    """Import the plugins that the process which started this one has imported."""
    load_plugins(name for name in os.environ.get(VARIABLE, "").split(",") if name)
