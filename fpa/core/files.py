"""Files that appear whole or not at all, digests that name what is in them, locks, and strange tars."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import os
import socket
import stat
import tarfile
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from getpass import getuser
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

from fpa.core.errors import UserError
from fpa.core.lazy import np
from fpa.core.progress import log

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

# Digests --------------------------------------------------------------------------------------


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


# Files that appear whole or not at all ---------------------------------------------------------


@contextmanager
def write_errors(path: str | Path) -> Iterator[None]:
    """A full disk or a forbidden folder as a UserError, for a block that writes a file or folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space or choose another folder, then run the same command again"
        ) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that is renamed to it when the block ends well.

    Whatever goes wrong, `path` holds either what it held before or the whole new file.
    Raises UserError with the reason when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
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
    with atomic_open(path) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON for people and programs alike: indented, sorted, atomic."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def check_ordinary(path: str | Path) -> None:
    """UserError for a pipe or a device, whose reading may never end; nothing where there is no file."""
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError(f"{path} is a pipe or device, which is not read; name a file")


def read_json(path: str | Path, made_by: str = "") -> Any:
    """Read a JSON file; UserError when it is missing or broken, naming what makes it."""
    hint = f"; `{made_by}` makes it" if made_by else ""
    check_ordinary(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}{hint}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}){hint}") from error


def read_record(model: type[M], path: str | Path, wrong: str, made_by: str = "") -> M:
    """A JSON file as a pydantic model; UserError when it is missing, and with `wrong` if it is another."""
    found = read_json(path, made_by)
    try:
        return model.model_validate(found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} {wrong}") from error


def save_array(path: str | Path, array: np.ndarray) -> None:
    with atomic_open(path) as file:
        np.save(file, array)


def save_npz(path: str | Path, **arrays: np.ndarray) -> None:
    """Save named arrays, compressed, atomically."""
    with atomic_open(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def new_array(path: str | Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new .npy file of zeros, mapped into memory, whose space on the disk is allocated already.

    OSError when there is not enough. Without this, the first write into a page that finds no space
    would kill the process (SIGBUS).
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, Path(path).stat().st_size)
    return array


def load_array(path: str | Path, mmap_mode: Literal["r"] | None = None) -> Any:
    """One array of a .npy file; UserError when the file is missing or something else."""
    found = _load(path, mmap_mode)
    if not isinstance(found, np.ndarray):
        found.close()
        raise UserError(f"{path} holds several arrays (.npz), expected one (.npy)")
    return found


def load_arrays(path: str | Path) -> Any:
    """The named arrays of an .npz file, to be closed; UserError when it is missing or something else."""
    found = _load(path, None)
    if isinstance(found, np.ndarray):
        raise UserError(f"{path} holds one array (.npy), expected several (.npz)")
    return found


def _load(path: str | Path, mmap_mode: Literal["r"] | None) -> Any:
    check_ordinary(path)
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a NumPy array file ({error}); name another file, or make it again"
        ) from error


# One process at a time in a folder, of one machine or of several --------------------------------
#
# The lock is an flock, which dies with its process. Beside it stands who holds it; the holder renews
# the file's time, for file systems whose locks do not reach other machines, or outlive them.

HEARTBEAT = 10.0
"""Seconds between two signs of life."""
LEASE = 120.0
"""Seconds without one after which a process of another machine is taken for dead."""
LOCK_PAUSE = 0.5
"""Seconds between two looks at a lock that is waited for."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Holder(NamedTuple):
    host: str
    pid: int
    user: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"

    @classmethod
    def me(cls) -> Holder:
        try:
            user = getuser()
        except (KeyError, OSError):
            user = f"user {os.getuid()}"
        return cls(socket.gethostname(), os.getpid(), user)


@contextmanager
def locked(folder: Path, doing: str, wait: bool = False) -> Iterator[None]:
    """Hold the folder for this process; the lock dies with the process, however it dies.

    doing: what this process does, for the others' messages. wait: until another process that holds
    it has ended; without it, that is a UserError. So is a file system without locks.
    """
    file, said = _take(folder), None
    while isinstance(file, Holder):
        if not wait:
            raise UserError(f"another process is {doing} ({file}); wait for it or stop it first")
        if file != said:
            said = file
            log.info("waiting for %s, which is %s", file, doing)
        time.sleep(LOCK_PAUSE)
        file = _take(folder)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(file, done), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        # Nobody holds it now, not even where others do not see that the flock is gone.
        os.ftruncate(file, 0)
        os.close(file)


def _take(folder: Path) -> int | Holder:
    """The open lock file if this process holds it now, else who does."""
    path = folder / "lock"
    while True:
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with ExitStack() as close:
            close.callback(os.close, file)
            blocked = not _flock(file, folder)
            holder = _read(file)
            elsewhere = holder is not None and holder.host != socket.gethostname()
            alive = elsewhere and _alive(file, folder)
            if blocked and elsewhere and not alive:
                # Its machine went down with the lock, and the file server does not know.
                path.unlink(missing_ok=True)
            elif blocked or alive:
                # Not blocked but alive: a file system whose locks do not reach other machines.
                return holder or Holder("this machine", 0, "somebody")
            elif _is_still(path, file):
                with write_errors(folder):
                    os.ftruncate(file, 0)
                    os.pwrite(file, json.dumps(Holder.me()).encode(), 0)
                close.pop_all()
                return file


def _flock(file: int, folder: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise UserError(
            f"{folder} is on a file system without file locks, so that two processes could spoil "
            "each other's files; mount it with locks (Lustre: -o flock), or set another folder"
        ) from error
    return True


def _read(file: int) -> Holder | None:
    with suppress(ValueError, TypeError):
        return Holder(*json.loads(os.pread(file, 4096, 0)))
    return None


def _alive(file: int, folder: Path) -> bool:
    """Whether a holder gave a sign of life lately, by the clock of the file system."""
    with tempfile.TemporaryFile(dir=folder) as now:
        return os.fstat(now.fileno()).st_mtime - os.fstat(file).st_mtime < LEASE


def _is_still(path: Path, file: int) -> bool:
    """Whether the path leads to this open file: another process may have removed it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _beat(file: int, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT):
        with suppress(OSError):
            os.utime(file)


# Tars from elsewhere: none fills the memory, or makes reading it go on for ever -----------------

MOST_BLOWN_UP = 100
"""A compressed archive of images or arrays unpacks to about its own size; more is a bomb."""
LARGEST_READ = 16 << 20
"""Bytes that tarfile may ask for at once: it reads a header of any declared size whole."""

DAMAGED = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    LookupError,
    OverflowError,
    RecursionError,
    ValueError,
)
"""What reading a damaged or malicious tar raises."""


class _Limited:
    """A file as tarfile needs it; ReadError where more is asked for than any honest tar needs."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, most: int | None) -> None:
        self.file, self.most = file, most

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError(f"it has a header of {size:,} bytes")
        data = self.file.read(size)
        self._check(self.tell())
        return data

    def seek(self, position: int) -> int:
        self._check(position)
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()

    def _check(self, position: int) -> None:
        if self.most is not None and position > self.most:
            raise tarfile.ReadError(f"it unpacks to more than {self.most:,} bytes")


def open_tar(file: IO[bytes] | gzip.GzipFile, most: int | None = None) -> tarfile.TarFile:
    """Open an uncompressed tar, of which at most `most` bytes are ever read."""
    return tarfile.open(fileobj=cast(Any, _Limited(file, most)), mode="r:", encoding="utf-8")


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in their order; ReadError when one says that the next lies before it."""
    for member in archive:
        if member.size < 0 or archive.offset <= member.offset:
            raise tarfile.ReadError(f"{member.name!r} has a negative size")
        yield member


def is_plain_file(member: tarfile.TarInfo) -> bool:
    """Whether a member is a file with all its bytes: no link, device or sparse file."""
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
