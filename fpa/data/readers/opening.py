"""Finds out what a source is and opens it with the right reader.

What cannot be read in place (a compressed tar, an LMDB inside an archive) is first unwrapped into
one file in a scratch folder, under a name that no archive chooses.
"""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from fpa.core.errors import UserError
from fpa.core.files import atomic_open, digest
from fpa.core.progress import log
from fpa.core.registry import load_target
from fpa.core.tars import MOST_BLOWN_UP, is_plain_file
from fpa.data.readers.base import Reader
from fpa.data.readers.folder import FolderReader
from fpa.data.readers.lmdb import LmdbReader
from fpa.data.readers.tar import TarReader
from fpa.data.readers.zip import ZipReader
from fpa.data.sources import SOURCES, ReaderFactory

DATABASE = "data.mdb"
COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""How a compressed file starts, and what opens it."""


def open_source(source: str, path: str | None, scratch: Path) -> Reader:
    """The reader for a source. UserError when it is missing, damaged or of no known kind.

    source: a name in SOURCES. path: the file or folder; None for a source with a built-in reader.
    scratch: the folder where an archive is unwrapped if it must be.
    """
    built_in = SOURCES[source].reader
    if built_in is not None:
        return _load(built_in)()
    place = Path(path or "").expanduser()
    try:
        if place.is_dir():
            return _open_folder(place)
        if zipfile.is_zipfile(place):
            return _open_zip(place, scratch)
        with open(place, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"cannot read {place}: {error.strerror or error}") from error
    for magic, opener in COMPRESSED.items():
        if start.startswith(magic):
            return _open_tar(_unwrap_tar(place, opener, scratch), scratch)
    if start.startswith(b"PK\x03\x04"):
        raise UserError(f"{place} is a zip whose end is missing; fetch it again, whole")
    return _open_tar(place, scratch)


def _load(reader: ReaderFactory) -> Callable[[], Reader]:
    """The class or function itself, imported if it is named as "package.module:Class"."""
    try:
        return load_target(reader)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(f"cannot import the reader '{reader}': {error}") from error


def _open_folder(path: Path) -> Reader:
    databases = [path / DATABASE, *path.glob(f"*/{DATABASE}")]
    database = next((p for p in databases if p.is_file()), None)
    return LmdbReader(database) if database else FolderReader(path)


def _open_zip(path: Path, scratch: Path) -> Reader:
    reader = ZipReader(path)
    database = _database(member.filename for member in reader.members)
    if database is None:
        return reader
    try:
        with zipfile.ZipFile(path) as archive, archive.open(database) as source:
            return LmdbReader(_copy(source, scratch, path, database))
    except (RuntimeError, zipfile.BadZipFile) as error:
        # Encrypted, of an unknown compression (NotImplementedError), or with a damaged header.
        raise UserError(f"{path}: {database} cannot be unpacked ({error})") from error


def _open_tar(path: Path, scratch: Path) -> Reader:
    reader = TarReader(path)
    database = _database(member.name for member in reader.members)
    if database is None:
        return reader
    member = next(member for member in reader.members if member.name == database)
    if not is_plain_file(member):
        raise UserError(f"{path}: {database} is not an ordinary file")
    with open(path, "rb") as file:
        file.seek(member.offset_data)
        return LmdbReader(_copy(file, scratch, path, database, member.size))


def _database(names: Iterable[str]) -> str | None:
    """The name of the LMDB file in an archive, if there is one."""
    return next((name for name in names if f"/{name}".endswith(f"/{DATABASE}")), None)


def _unwrap_tar(path: Path, opener: Callable[..., Any], scratch: Path) -> Path:
    with opener(path) as source:
        return _copy(source, scratch, path, "tar")


def _copy(
    source: IO[bytes], scratch: Path, archive: Path, part: str, size: int | None = None
) -> Path:
    """Unwrap a part of an archive into the scratch folder, unless it is there already.

    size: its bytes, where the source does not end behind it.
    """
    about = archive.stat()
    stamp = digest([str(archive), part, about.st_size, about.st_mtime_ns])[:10]
    target = scratch / f"unwrapped-{stamp}"
    if target.exists():
        return target
    log.info("unwrapping %s", archive)
    with atomic_open(target) as file:
        while chunk := _read_on(source, archive, size):
            file.write(chunk)
            size = None if size is None else size - len(chunk)
            if file.tell() > MOST_BLOWN_UP * about.st_size:
                raise UserError(
                    f"{archive} unpacks to more than {MOST_BLOWN_UP} times its size; "
                    "this is no archive of images"
                )
    return target


def _read_on(source: IO[bytes], archive: Path, left: int | None) -> bytes:
    try:
        return source.read(1 << 20 if left is None else min(1 << 20, left))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive} is damaged ({error}); fetch it again, whole") from error
