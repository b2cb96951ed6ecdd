"""What a configuration or a file can name: registered things, modules with plugins, and classes.

There is one list for each kind of thing: metrics, extractors, rules, ... What this project brings is
registered in its package. A user's module does the same, and is named under `plugins`.
"""

import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import fpa
from fpa.core.errors import UserError, did_you_mean, one_line

T = TypeVar("T")


class Registry(dict[str, T]):
    """Things of one kind by name, in the order in which they were registered.

    `registry[name]` is a UserError when there is no such thing.
    """

    def __init__(self, kind: str, of: type[T]) -> None:
        """kind: in words, for messages. of: the class of every entry."""
        super().__init__()
        self.kind, self.of = kind, of

    def register(self, name: str, entry: T) -> T:
        """Add an entry and return it. UserError when the name is taken by another one."""
        if not isinstance(entry, self.of):
            raise UserError(
                f"{self.kind} '{name}': expected a {self.of.__name__} of {self.of.__module__}, found "
                f"{entry!r:.60}"
            )
        if self.setdefault(name, entry) is not entry:
            raise UserError(f"there is a {self.kind} '{name}' already; choose another name")
        return entry

    def find(self, name: str, where: str = "") -> T:
        """The entry of a name; UserError, beginning with `where`, when there is none."""
        if name not in self:
            place = f"{where}: " if where else ""
            raise UserError(f"{place}unknown {self.kind} '{name}'{did_you_mean(name, list(self))}")
        return self[name]

    def __missing__(self, name: str) -> T:
        return self.find(name)


# Modules with plugins -------------------------------------------------------------------------

PLUGINS = "FPA_PLUGINS"
"""Environment variable with the modules that jobs import before they start, separated by commas."""


def load_plugins(names: Iterable[str]) -> None:
    """Import the modules that register things of a user's own; UserError when one cannot be.

    Modules are looked for as Python does, and in the working directory. Processes that are started
    from here on import the same ones.
    """
    names = list(names)
    if names and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in names:
        try:
            import_by_name(name, "plugins")
        except UserError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            raise UserError(
                f"{error}; run from the folder that holds it, or add that folder to PYTHONPATH"
            ) from error
    _hand_down(PLUGINS, names)


def import_by_name(name: str, where: str) -> ModuleType:
    """Import a module that a user names; UserError, with the file and line, for whatever it raises."""
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        raise UserError(
            f"{where}: cannot import '{name}': expected a module's name, as in my_models"
        )
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: cannot import '{name}': {with_place(error)}") from error


def with_place(error: BaseException) -> str:
    """An error's first line and the line of the user's code that it comes from."""
    said, kind = one_line(error), type(error).__name__
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}: " if error.filename else ""
        return f"{place}{error.msg}"
    others = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    others += ["<", str(Path(fpa.__file__).parent)]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(tuple(others))]
    said = said if isinstance(error, UserError | ImportError) or said == kind else f"{kind}: {said}"
    return f"{own[-1].filename}, line {own[-1].lineno}: {said}" if own else said


def load_inherited_plugins() -> None:
    """Import the plugins that the process which started this one has imported."""
    load_plugins(_handed_down(PLUGINS))


def _handed_down(variable: str) -> list[str]:
    return [name for name in os.environ.get(variable, "").split(",") if name]


def _hand_down(variable: str, names: Iterable[str]) -> None:
    """Add names to a variable that processes started from here on inherit."""
    if names := list(filter(None, names)):
        os.environ[variable] = ",".join(dict.fromkeys([*_handed_down(variable), *names]))


# Classes that a file names --------------------------------------------------------------------
#
# A class is code. Runs, finished trainings and exports name one, and may come from others; a
# configuration names the user's own. Only classes of this project are imported for a file that names
# them, unless the user's configuration or command line names them too.

TRUSTED = "FPA_TRUSTED"
"""Environment variable with further classes, separated by commas: a workflow's jobs inherit it."""
CLASS = re.compile(r"[\w.]+:\w+")
"""The name of a class, package.module:Class."""
BUILT_IN = ("fpa", "baselines")
"""Packages of this project. Both lie in one folder, be it a repository or Python's site-packages."""


def trust(names: Iterable[str]) -> None:
    """Let files name these classes, here and in processes that are started from here on."""
    _hand_down(TRUSTED, names)


def check_trusted(name: str, where: object) -> None:
    """UserError, beginning with `where`, unless a file may name the class `package.module:Class`."""
    if not CLASS.fullmatch(name):
        # Not for a message that asks to paste it into a shell.
        raise UserError(f"{where} names no class as package.module:Class, but {name!a}")
    if name not in _handed_down(TRUSTED) and not _is_built_in(re.split("[.:]", name)[0]):
        raise UserError(
            f"{where} names the class {name}, which is not of this project: to import it is to run "
            f"its code; if you trust it, repeat the command with --trust-class {name}"
        )


def _is_built_in(package: str) -> bool:
    """Whether a package is this project's, rather than one of its name in the working directory."""
    found = importlib.util.find_spec(package) if package in BUILT_IN else None
    if found is None or found.origin is None:
        return False
    return Path(found.origin).resolve().parents[1] == Path(fpa.__file__).resolve().parents[1]
