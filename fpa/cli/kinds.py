"""Kinds of files that verbs read and write, told by what is in them rather than by their names.

Types of options: what is wrong with a file is said before a verb starts. That a file is missing says
the verb's own reader, which knows what makes it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.lazy import np

Found = Any
"""What is in a file: a JSON value, an array, the names of several arrays, the first bytes of anything
else; None of what is no file or empty."""
START = 8192
"""Bytes that tell a file of another kind."""


class Kind(NamedTuple):
    name: str
    ending: str
    fits: Callable[[Found], bool] = lambda found: True
    beside: Callable[[Found], bool] | None = None
    """What fits into the .json beside it, where one is written."""
    group: tuple[tuple[str, Callable[[Found], bool]], ...] = ()
    """Endings of the files that are written before it, and what fits into them."""


def _object(*keys: str) -> Callable[[Found], bool]:
    """A JSON object with these keys."""
    return lambda found: isinstance(found, dict) and found.keys() >= {*keys}


def _array(types: str, *dimensions: int) -> Callable[[Found], bool]:
    """An array whose dtype is of these (numpy's letters), of so many dimensions."""
    return lambda found: (
        hasattr(found, "dtype") and found.dtype.kind in types and found.ndim in dimensions
    )


def _arrays(*names: str) -> Callable[[Found], bool]:
    return lambda found: isinstance(found, frozenset) and found >= {*names}


def _begins(*marks: bytes) -> Callable[[Found], bool]:
    """Other bytes, with matches of these patterns among the first ones."""
    return lambda found: isinstance(found, bytes) and all(re.search(mark, found) for mark in marks)


def _bundle(found: Found) -> bool:
    """A gzipped tar that begins with a manifest."""
    try:
        return (
            isinstance(found, bytes)
            and zlib.decompressobj(31).decompress(found, 13) == b"manifest.json"
        )
    except zlib.error:
        return False


RUN = Kind("a resolved run", ".json", _object("dataset", "model", "training", "digest"))
SUMMARY = Kind("a training's summary", ".json", _object("run", "digest", "steps"))
SCORE = Kind("a score file", ".json", _object("dataset", "model", "protocol", "extractor"))
COST = Kind("a cost file", ".json", _object("training_images_per_second"))
EXTRACTOR = Kind("an extractor's description", ".json", _object("network", "weights"))
FEATURES = Kind("features", ".npy", _array("f", 2), _object("features"))
LATENTS = Kind("latents", ".npy", _array("f", 2))
IMAGES = Kind("images", ".npy", _array("u", 4))
SAMPLES = Kind(
    "images",
    ".npy",
    _array("uf", 4),
    lambda found: _object("not_finite")(found) and not SCORE.fits(found),
)
INTERPOLATIONS = Kind("images between latents", ".npy", _array("u", 5))
RADII = Kind("radii", ".npz", _arrays("rows", "radii", "about"))
REFERENCE = Kind("a reference", ".npz", _arrays("mean", "covariance", "digest"))
NEIGHBOURS = Kind("nearest images", ".npz", _arrays("distance", "real_distance"))
PAINTINGS = Kind("painting traces", ".npz", _arrays("image"))
STATISTICS = Kind("statistics", ".npz", _arrays("norm", "rank", "spectrum"))
# Of a painter for the page, not those of a run.
WEIGHTS = Kind("weights", ".safetensors", _begins(rb'^[\s\S]{8}\{"__metadata__":\{"about":'))
TABLE = Kind(
    *("a table", ".csv"),
    group=(
        (".md", _begins(rb"^[^\n#]+\n\n\|")),
        (".tex", _begins(rb"^\\begin{table}\n\\centering\n\\caption")),
    ),
)
PAGE = Kind("a page", ".html", _begins(rb"^<!DOCTYPE html>", rb"default-src 'none'; img-src data:"))
PICTURE = Kind("a picture", ".png", _begins(rb"^\x89PNG", rb"Software\0fpa"))
BUNDLE = Kind("a bundle", ".tar.gz", _bundle)

LOGGED = _begins(rb"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
"""The time of a first message (fpa.core.progress)."""

KNOWN = (RUN, SCORE, COST, EXTRACTOR, SUMMARY, RADII, REFERENCE, NEIGHBOURS, PAINTINGS)
"""Those that what is in a file tells for sure."""


def existing(kind: Kind) -> Callable[[str], str]:
    """The name of a file of a kind, if there is such a file."""

    def read(text: str) -> str:
        path = Path(text)
        if path.exists() and not (path.is_file() and kind.fits(look(path))):
            raise _Refused(f"expected {kind.name} ({kind.ending}), found {text}, {describe(path)}")
        return text

    return read


def output(kind: Kind) -> Callable[[str], str]:
    """The name of a file that is written: a new one, or one of the same kind that is made again."""

    def read(text: str) -> str:
        path = Path(text)
        if not path.name.endswith(kind.ending):
            raise _Refused(
                f"expected a name that ends in {kind.ending} ({kind.name}), found {text}"
            )
        pairs = [(path, kind.fits)]
        if kind.beside:
            pairs.append((artifacts.describing(path), kind.beside))
        # What is written last is somebody else's where the others are not.
        group = [(path.with_suffix(ending), fits) for ending, fits in kind.group]
        if not all(_holds_something(file) for file, _ in group):
            pairs.append((path, lambda found: False))
        pairs += group
        if path.name == artifacts.IMAGES and (path.parent / artifacts.MANIFEST).exists():
            pairs.append((path, lambda found: False))
        for file, fits in pairs:
            if _holds_something(file) and not (file.is_file() and fits(look(file))):
                raise _Refused(
                    f"{file} is {describe(file)}, which would be overwritten; choose another name"
                )
        return folder_above(text)

    return read


def _holds_something(path: Path) -> bool:
    """Whether there is anything but an empty file."""
    return path.exists() and not (path.is_file() and path.stat().st_size == 0)


def folder(text: str) -> str:
    """The name of a folder, new or not."""
    path = Path(text)
    if os.path.lexists(path) and not path.is_dir():
        raise _Refused(f"expected a folder, found {text}, {describe(path)}")
    return folder_above(text)


FOLDERS = {
    "a prepared data set": artifacts.MANIFEST,
    "a run": artifacts.SUMMARY,
    "an export": artifacts.GENERATOR_CONFIGURATION,
    "an experiment's results": artifacts.EXPERIMENT,
}
"""What a folder is, by a file in it."""


def folder_for(kind: str) -> Callable[[str], str]:
    """The name of a folder that is written: a new one, or not one of another kind."""

    def read(text: str) -> str:
        for other, name in FOLDERS.items():
            if other != kind and (Path(text) / name).exists():
                raise _Refused(f"{text} holds {other}, expected a folder for {kind}")
        return folder(text)

    return read


def file(text: str) -> str:
    """The name of a file of any kind, if it exists."""
    path = Path(text)
    if path.exists() and not path.is_file():
        raise _Refused(f"expected a file, found {text}, {describe(path)}")
    return text


def there(text: str) -> str:
    """The name of a file or folder that exists; empty for none."""
    if text and not Path(text).expanduser().exists():
        raise _Refused(f"there is nothing at {text}")
    return text


def log(text: str) -> str:
    """The name of a file that messages are appended to: a new one, or one that begins with a message."""
    path = Path(text)
    logged = not path.is_file() or path.stat().st_size == 0 or LOGGED(look(path))
    if path.is_dir() or path.is_fifo() or not logged:
        raise _Refused(f"{text} is {describe(path)}, and no log; choose another name")
    return folder_above(text)


def folder_above(text: str) -> str:
    """A path whose folder exists or can be made."""
    above = next((path for path in Path(text).parents if os.path.lexists(path)), None)
    if above is not None and not above.is_dir():
        raise _Refused(f"expected a folder, found {above}, {describe(above)}")
    return text


def look(path: Path) -> Found:
    """What is in a file; None of what is none, is empty or cannot be read."""
    if not path.is_file():
        return None
    start = b""
    try:
        with open(path, "rb") as opened:
            start = opened.read(START)
        if start.startswith(b"\x93NUMPY"):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return frozenset(name.removesuffix(".npy") for name in archive.namelist())
        if start.lstrip()[:1] not in (b"{", b"["):
            return start or None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, EOFError, zipfile.BadZipFile):
        return start or None


def describe(path: Path) -> str:
    """What a path is, in words."""
    if path.is_dir():
        return "a folder"
    if not path.exists():
        return "a link that leads nowhere"
    if not path.is_file():
        return "a pipe or device"
    found = look(path)
    if hasattr(found, "dtype"):
        return f"an array of {found.dtype} {found.shape}"
    for kind in KNOWN:
        if kind.fits(found):
            return kind.name
    known = found is not None and not isinstance(found, bytes)
    return "another kind of data" if known else "a file of another kind"


class _Refused(UserError, argparse.ArgumentTypeError):
    """A file of another kind: argparse names its option, and elsewhere it is a user's mistake."""
