"""Kinds of files that verbs read and write, told by what is in them rather than by their names.

Types of options: what is wrong with a file is said before a verb starts. That a file is missing says
the verb's own reader, which knows what makes it.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.lazy import np

Found = Any
"""What is in a file: a JSON value, an array, the names of several arrays, or None."""


class Kind(NamedTuple):
    name: str
    ending: str
    fits: Callable[[Found], bool] = lambda found: True
    beside: Callable[[Found], bool] | None = None
    """What fits into the .json beside it, where one is written."""


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
WEIGHTS = Kind("weights", ".safetensors")
TABLE = Kind("a table", ".csv")
PAGE = Kind("a page", ".html")
PICTURE = Kind("a picture", ".png")
BUNDLE = Kind("a bundle", ".tar.gz")

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
        for file, fits in pairs:
            if file.is_dir() or (file.exists() and file.stat().st_size and not fits(look(file))):
                raise _Refused(
                    f"{file} is {describe(file)}, which would be overwritten; choose another name"
                )
        return folder_above(text)

    return read


def folder(text: str) -> str:
    """The name of a folder, new or not."""
    path = Path(text)
    if path.exists() and not path.is_dir():
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
    if Path(text).is_dir():
        raise _Refused(f"expected a file, found {text}, a folder")
    return text


def there(text: str) -> str:
    """The name of a file or folder that exists; empty for none."""
    if text and not Path(text).expanduser().exists():
        raise _Refused(f"there is nothing at {text}")
    return text


def log(text: str) -> str:
    """The name of a file that messages are appended to: a new one, or text."""
    file(text)
    if look(Path(text)) is not None:
        raise _Refused(f"{text} is {describe(Path(text))}, and no log; choose another name")
    return folder_above(text)


def folder_above(text: str) -> str:
    """A path whose folder exists or can be made."""
    above = next((path for path in Path(text).parents if path.exists()), None)
    if above is not None and not above.is_dir():
        raise _Refused(f"expected a folder, found {above}, {describe(above)}")
    return text


def look(path: Path) -> Found:
    """What is in a file; None for one of another kind."""
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as opened:
            start = opened.read(6)
        if start.startswith(b"\x93NUMPY"):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                return frozenset(name.removesuffix(".npy") for name in archive.namelist())
        if start.lstrip()[:1] not in (b"{", b"["):
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, EOFError, zipfile.BadZipFile):
        return None


def describe(path: Path) -> str:
    """What a path is, in words."""
    if path.is_dir():
        return "a folder"
    found = look(path)
    if hasattr(found, "dtype"):
        return f"an array of {found.dtype} {found.shape}"
    for kind in KNOWN:
        if kind.fits(found):
            return kind.name
    return "a file of another kind" if found is None else "another kind of data"


class _Refused(UserError, argparse.ArgumentTypeError):
    """A file of another kind: argparse names its option, and elsewhere it is a user's mistake."""
