"""Which classes may be imported because a file names them.

A class is code. Runs, finished trainings and exports name one, and may come from others; a
configuration names the user's own. Only classes of this project are imported for a file that names
them, unless the user's configuration or command line names them too.
"""

import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path

import fpa
from fpa.core.errors import UserError

VARIABLE = "FPA_TRUSTED"
"""Environment variable with further classes, separated by commas: a workflow's jobs inherit it."""
BUILT_IN = ("fpa", "baselines")
"""Packages of this project. Both lie in one folder, be it a repository or Python's site-packages."""


def trust(names: Iterable[str]) -> None:
    """Let files name these classes, here and in processes that are started from here on."""
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*_trusted(), *filter(None, names)]))


def check_trusted(name: str, where: object) -> None:
    """UserError, beginning with `where`, unless a file may name the class `package.module:Class`."""
    if not re.fullmatch(r"[\w.]+:\w+", name):
        # Not for a message that asks to paste it into a shell.
        raise UserError(f"{where} names no class as package.module:Class, but {name!a}")
    if name in _trusted() or _is_built_in(name.partition(":")[0].partition(".")[0]):
        return
    raise UserError(
        f"{where} names the class {name}, which is not of this project: to import it is to run its "
        f"code; if you trust it, repeat the command with --trust-class {name}"
    )


def _trusted() -> list[str]:
    return [name for name in os.environ.get(VARIABLE, "").split(",") if name]


def _is_built_in(package: str) -> bool:
    """Whether a package is this project's, rather than one of its name in the working directory."""
    if package not in BUILT_IN:
        return False
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return False
    return Path(found.origin).resolve().parents[1] == Path(fpa.__file__).resolve().parents[1]
