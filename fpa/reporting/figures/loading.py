"""Reads what figures show; what is missing is None or a UserError."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpa.core.errors import UserError
from fpa.core.files import load_array, read_json
from fpa.reporting.figures.base import Input, Spec

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path) -> "pd.DataFrame":
    """A CSV table of the results: only empty cells are missing; the status 'nan' is a word."""
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def load(part: Input, results: Path) -> Any:
    """An input's array (or arrays by name, or table, or JSON); None where it is missing."""
    return load_file(results / part.path)


def load_file(path: Path) -> Any:
    """The same of a file."""
    if not path.exists():
        return None
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix == ".csv":
        return read_table(path)
    found = load_array(path)
    if isinstance(found, np.ndarray):
        return found
    try:
        with found:
            return dict(found)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from error


def load_needed(part: Input, results: Path) -> Any:
    """The same, but a missing input is a UserError."""
    found = load(part, results)
    if found is None:
        raise UserError(f"cannot draw without {results / part.path}; is its run finished?")
    return found


def load_by_model(spec: Spec, results: Path) -> dict[str, Any]:
    """Every input by its model, None where it is missing."""
    return {part.model: load(part, results) for part in spec.inputs}


def load_histories(spec: Spec, results: Path) -> list[tuple[str, int, "pd.DataFrame"]]:
    """(model, seed, history) of each run that has one."""
    loaded = ((part, load(part, results)) for part in spec.inputs)
    return [(part.model, part.seed, history) for part, history in loaded if history is not None]
