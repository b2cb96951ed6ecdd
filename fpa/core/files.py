"""Files that appear whole or not at all, and digests that name what is in them."""

import hashlib
import json
import math
import os
import socket
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fpa.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that digests are taken of: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value's canonical spelling."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_of_many(values: Iterable[Any]) -> str:
    """SHA-256 (hex) of many JSON values in their order, one line each, never all in memory."""
    found = hashlib.sha256()
    for value in values:
        found.update(f"{canonical_json(value)}\n".encode())
    return found.hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """SHA-256 (or another digest, hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that is renamed to it when the block ends well.

    Whatever goes wrong, `path` holds either what it held before or the whole new file.
    Raises UserError with the reason when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space or choose another folder, then run the same command again"
        ) from error
    finally:
        # The folder itself may be what is missing; then there is nothing to clean.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_open(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Like `open(path, mode)` for writing, but `path` changes only when the block ends well."""
    with atomic_path(path) as temporary, open(temporary, mode) as file:
        yield file


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write bytes atomically."""
    with atomic_open(path) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write text (UTF-8) atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON for people and programs alike: indented, sorted, atomic."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path, made_by: str = "") -> Any:
    """Read a JSON file; UserError when it is missing or broken, naming what makes it."""
    hint = f"; `{made_by}` makes it" if made_by else ""
    try:
        return json.loads(Path(path).read_text())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}){hint}") from error


def save_array(path: str | Path, array: "np.ndarray") -> None:
    """Save one array (.npy) atomically."""
    import numpy as np

    with atomic_open(path) as file:
        np.save(file, array)


def save_npz(path: str | Path, **arrays: "np.ndarray") -> None:
    """Save named arrays, compressed, atomically."""
    import numpy as np

    with atomic_open(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def new_array(path: str | Path, dtype: Any, shape: tuple[int, ...]) -> "np.memmap":
    """A new .npy file of zeros, mapped into memory, whose room on the disk is there already.

    OSError when there is not enough. Without this, the first write into a page that finds no room
    would kill the process (SIGBUS).
    """
    import numpy as np

    with open(path, "wb") as file:
        about = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, about)
        file.flush()
        size = file.tell() + math.prod(shape) * np.dtype(dtype).itemsize
        os.posix_fallocate(file.fileno(), 0, size)
    return np.lib.format.open_memmap(path, "r+")


def load_array(path: str | Path, load: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`numpy.load` without pickles; UserError when the file is missing or not an array file."""
    import numpy as np

    try:
        return (load or np.load)(path, allow_pickle=False, **options)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a NumPy array file ({error}); delete it and run again"
        ) from error
