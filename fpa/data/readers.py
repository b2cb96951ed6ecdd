"""Encoded images in a folder, a zip, a tar, an LMDB or a package, listed and read in one way.

Nothing is ever unpacked under a name that an archive chose: images are read into memory, from any
number of processes at once. What cannot be read in place (a compressed tar, an LMDB inside an
archive) is unwrapped into one file of our own naming in a scratch folder.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from fpa.common.errors import UserError
from fpa.common.files import atomic_open, digest
from fpa.common.progress import log

IMAGE_SUFFIXES = frozenset("bmp gif jfif jpe jpeg jpg pbm pgm png ppm tif tiff webp".split())
ODD = re.compile(r"(^|/)[./]|__MACOSX")
"""Names that need a closer look: few do, and there may be a million."""
HIDDEN = re.compile(r"(^|/)(\.(?!\./)|__MACOSX/)")
CLIMBING = re.compile(r"^/|(^|/)\.\.(/|$)")
LARGEST_FILE = 1 << 28
"""Bytes of one encoded image; a larger file is no image of a training set."""
MOST_BLOWN_UP = 100
"""A compressed tar of images unpacks to about its own size; more than so many times is a bomb."""
DATABASE = "data.mdb"
HEADER_MARGIN = 256
"""Bytes of name and extra field that a zip member is expected to have at most; more cost a read."""


class Found(NamedTuple):
    """A file of a source: its name there, how its reader finds it again, and its size (bytes)."""

    name: str
    place: Any
    size: int
    problem: str = ""
    """Why it cannot be read; empty when it can."""


class Reader(ABC):
    """One kind of source. `read` may be called from processes forked after `list`."""

    kind: str
    root = ""
    """Folder that names are relative to, for sources that lie unpacked."""
    only_images = False
    """Whether every file is an image, whatever its name."""

    @abstractmethod
    def list(self) -> Iterator[Found]:
        """Every file of the source."""

    @abstractmethod
    def read(self, place: Any) -> bytes:
        """The bytes of one file; OSError or ValueError when they are damaged."""

    def close(self) -> None:  # noqa: B027 (nothing to let go of, for most)
        """Let go of what is open."""


def open_source(source: str, path: str | None, scratch: Path) -> Reader:
    """The reader for a data set's source; UserError when it is missing, damaged or of no known kind.

    `scratch` is where an archive that must be unwrapped puts its one file.
    """
    if source == "digits":
        return DigitsReader()
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


COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


class FolderReader(Reader):
    """Files below a folder. Links are listed with a problem, never followed."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.root = str(self.path)

    def list(self) -> Iterator[Found]:
        return self._list(self.root, "")

    def _list(self, folder: str, prefix: str) -> Iterator[Found]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"cannot read {folder}: {error.strerror}") from error
        for entry in entries:
            name = prefix + entry.name
            if entry.is_symlink():
                # A linked folder's images, if any, are missing: it is listed as one of them.
                name += "/*.png" if entry.is_dir() else ""
                yield Found(name, None, 0, "symbolic link; put the files themselves here")
            elif entry.is_dir():
                yield from self._list(entry.path, name + "/")
            else:
                about = entry.stat()
                problem = "" if stat.S_ISREG(about.st_mode) else "not an ordinary file"
                yield Found(name, (entry.path, about.st_mtime_ns), about.st_size, problem)

    def read(self, place: tuple[str, int]) -> bytes:
        with open(place[0], "rb") as file:
            return file.read()


class ZipReader(Reader):
    """Members of a zip, read by position, so that processes share one open file."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open(path, "rb")  # noqa: SIM115 (open as long as the reader)
        try:
            with zipfile.ZipFile(self.file) as archive:
                self.members = archive.infolist()
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise UserError(f"{path} is a damaged zip ({error}); fetch it again") from error

    def list(self) -> Iterator[Found]:
        for member in self.members:
            if not member.is_dir():
                yield Found(member.filename, _Place.of(member), member.file_size, _problem(member))

    def read(self, place: "_Place") -> bytes:
        return place.read(self.file.fileno())

    def close(self) -> None:
        self.file.close()


class _Place(NamedTuple):
    """Where a zip member's bytes are."""

    offset: int
    packed: int
    size: int
    method: int
    crc: int

    @classmethod
    def of(cls, member: zipfile.ZipInfo) -> "_Place":
        return cls(
            member.header_offset,
            member.compress_size,
            member.file_size,
            member.compress_type,
            member.CRC,
        )

    def read(self, file: int) -> bytes:
        # The local header: 30 bytes, then a name and an extra field of their own lengths.
        likely = 30 + HEADER_MARGIN + self.packed
        block = os.pread(file, likely, self.offset)
        if block[:4] != b"PK\x03\x04" or len(block) < 30:
            raise ValueError("its place in the zip is damaged")
        start = 30 + int.from_bytes(block[26:28], "little") + int.from_bytes(block[28:30], "little")
        data = block[start : start + self.packed]
        if start + self.packed > likely:
            data = os.pread(file, self.packed, self.offset + start)
        if self.method == zipfile.ZIP_DEFLATED:
            # No more than the size that the zip states, so that a bomb stays small.
            data = zlib.decompressobj(-15).decompress(data, self.size + 1)
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise ValueError("its bytes in the zip are damaged")
        return data


def _problem(member: zipfile.ZipInfo) -> str:
    if stat.S_ISLNK(member.external_attr >> 16):
        return "symbolic link; pack the files themselves"
    if member.flag_bits & 1:
        return "encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compression method {member.compress_type}; pack the zip the ordinary way"
    return ""


class TarReader(Reader):
    """Members of an uncompressed tar, read by position."""

    kind = "tar"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open(path, "rb")  # noqa: SIM115 (open as long as the reader)
        try:
            with tarfile.open(fileobj=self.file, mode="r:") as archive:
                self.members = archive.getmembers()
                end = archive.offset
        except (tarfile.TarError, ValueError, EOFError) as error:
            raise UserError(
                f"{path} is not a whole zip or tar archive, nor a folder ({error}); fetch it again"
            ) from error
        # A tar ends in blocks of zeros; tarfile takes one that was cut off between two for whole.
        if os.pread(self.file.fileno(), tarfile.BLOCKSIZE, end) != bytes(tarfile.BLOCKSIZE):
            raise UserError(f"{path} is a tar whose end is missing; fetch it again, whole")

    def list(self) -> Iterator[Found]:
        for member in self.members:
            if not member.isdir():
                place = (member.offset_data, member.size)
                link = member.issym() or member.islnk()
                problem = "link; pack the files themselves" if link else ""
                if not link and (not member.isreg() or member.sparse is not None):
                    problem = "not an ordinary file"
                yield Found(member.name, place, member.size, problem)

    def read(self, place: tuple[int, int]) -> bytes:
        offset, size = place
        data = os.pread(self.file.fileno(), size, offset)
        if len(data) != size:
            raise ValueError("its bytes in the tar are damaged")
        return data

    def close(self) -> None:
        self.file.close()


class LmdbReader(Reader):
    """LSUN's format: one LMDB whose values are encoded images, in the order of the keys."""

    kind, only_images = "lmdb", True

    def __init__(self, path: Path) -> None:
        import lmdb

        self.path, self.environments = path, {}
        try:
            with self._open() as environment:
                needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        except lmdb.Error as error:
            raise UserError(f"{path} is not a whole LMDB ({error}); fetch it again") from error
        # A page behind the end of the file would not raise but end the process.
        if path.stat().st_size < needed:
            raise UserError(
                f"{path} has {path.stat().st_size:,} of {needed:,} bytes; fetch it again, whole"
            )

    def _open(self) -> Any:
        import lmdb

        return lmdb.open(str(self.path), subdir=False, readonly=True, lock=False, readahead=False)

    def list(self) -> Iterator[Found]:
        with self._open() as environment, environment.begin() as transaction:
            # Keys alone: to ask for the values' sizes would read from every corner of the file.
            for key in transaction.cursor().iternext(keys=True, values=False):
                yield Found(key.decode("utf-8", "backslashreplace"), key, 0)

    def read(self, place: bytes) -> bytes:
        # An LMDB that was opened before a fork must not be used after it.
        environment = self.environments.get(os.getpid())
        if environment is None:
            environment = self.environments[os.getpid()] = self._open()
        with environment.begin() as transaction:
            value = transaction.get(place)
        if value is None:
            raise ValueError("its key is gone")
        return value

    def close(self) -> None:
        for environment in self.environments.values():
            environment.close()


class DigitsReader(Reader):
    """scikit-learn's handwritten digits, as PGM files in memory."""

    kind, only_images = "scikit-learn", True

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        # Values run from 0 to 16; 255/16 spreads them over a byte.
        self.pixels = (load_digits().images * 255 / 16).round().astype("uint8")

    def list(self) -> Iterator[Found]:
        for i, pixels in enumerate(self.pixels):
            yield Found(f"{i:04d}", i, pixels.size)

    def read(self, place: int) -> bytes:
        height, width = self.pixels[place].shape
        return f"P5 {width} {height} 255\n".encode() + self.pixels[place].tobytes()


# What a source is found to be --------------------------------------------------------------------


def _open_folder(path: Path) -> Reader:
    databases = [path / DATABASE, *path.glob(f"*/{DATABASE}")]
    database = next((p for p in databases if p.is_file()), None)
    return LmdbReader(database) if database else FolderReader(path)


def _open_zip(path: Path, scratch: Path) -> Reader:
    reader = ZipReader(path)
    database = _database(member.filename for member in reader.members)
    if database is None:
        return reader
    with zipfile.ZipFile(path) as archive, archive.open(database) as source:
        return LmdbReader(_copy(source, scratch, path, database))


def _open_tar(path: Path, scratch: Path) -> Reader:
    reader = TarReader(path)
    database = _database(member.name for member in reader.members)
    if database is None:
        return reader
    with tarfile.open(path, mode="r:") as archive:
        return LmdbReader(_copy(archive.extractfile(database), scratch, path, database))


def _database(names: Iterable[str]) -> str | None:
    """The name of the LMDB file in an archive, if there is one."""
    return next((name for name in names if f"/{name}".endswith(f"/{DATABASE}")), None)


def _unwrap_tar(path: Path, opener: Any, scratch: Path) -> Path:
    with opener(path) as source:
        return _copy(source, scratch, path, "tar", MOST_BLOWN_UP * path.stat().st_size)


def _copy(source: IO[bytes], scratch: Path, archive: Path, part: str, most: int = 0) -> Path:
    """Unwrap a part of an archive into the scratch folder, unless it lies there already."""
    about = archive.stat()
    stamp = digest([str(archive), part, about.st_size, about.st_mtime_ns])[:10]
    target = scratch / f"unwrapped-{stamp}"
    if target.exists():
        return target
    log.info("unwrapping %s", archive)
    with atomic_open(target) as file:
        while chunk := _read_on(source, archive):
            file.write(chunk)
            if most and file.tell() > most:
                raise UserError(
                    f"{archive} unpacks to more than {MOST_BLOWN_UP} times its size; "
                    "this is no archive of images"
                )
    return target


def _read_on(source: IO[bytes], archive: Path) -> bytes:
    try:
        return source.read(1 << 20)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive} is damaged ({error}); fetch it again, whole") from error


# The list of images ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """The images of a source, in the order of their names, and everything else in it."""

    images: list[Found]
    """Names relative to the folder that holds them all; those with a problem cannot be read."""
    ignored: list[Found]
    """Files that are no images by their names."""


def list_images(reader: Reader, folders: tuple[str, ...] = ("",)) -> Listing:
    """What a source holds, in an order and under names that do not depend on its kind.

    folders: where the images lie; the first of these that holds any is read ("" for anywhere).
    UserError when none does.
    """
    candidates, ignored = [], []
    for found in reader.list():
        if ODD.search(found.name) or not found.name.isascii():
            found = found._replace(name=_tidy(found.name))
        problem = "" if reader.only_images else _no_image(found.name)
        if problem:
            ignored.append(found._replace(problem=problem))
        else:
            candidates.append(found)
    images: list[Found] = []
    for folder in folders:
        images = [f for f in candidates if not folder or _lies_in(f.name, folder, reader.root)]
        if images:
            break
    if not images:
        raise UserError(_nothing_found(reader, folders, candidates, ignored))
    return Listing(_name_and_check(images), ignored)


def _tidy(name: str) -> str:
    """The name without empty and '.' parts; a leading '/' and '..' stay, to be found out.

    Bytes of a name that are no UTF-8 are spelled out, so that it can be printed and stored.
    """
    name = name.encode(errors="backslashreplace").decode()
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _no_image(name: str) -> str:
    if ODD.search(name) and HIDDEN.search(name):
        return "hidden file"
    return "" if name.rpartition(".")[2].lower() in IMAGE_SUFFIXES else "no image by its name"


def _lies_in(name: str, folder: str, root: str) -> bool:
    parent = f"{root}/{name}".rpartition("/")[0]
    return f"/{parent}".endswith(f"/{folder}")


def _nothing_found(
    reader: Reader, folders: tuple[str, ...], candidates: list[Found], ignored: list[Found]
) -> str:
    where = str(getattr(reader, "path", reader.kind))
    if not candidates:
        return f"{where} holds no images ({len(ignored):,} other files)"
    wanted = " or ".join(f"'{folder}'" for folder in folders)
    there = sorted({f.name.rpartition("/")[0] or "." for f in candidates})
    shown = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
    return f"{where} holds no images in a folder {wanted}; found images in: {shown}"


def _name_and_check(images: list[Found]) -> list[Found]:
    """Relative names in their order; a name that climbs out or comes twice is a problem."""
    climbing = {f.name for f in images if ODD.search(f.name) and CLIMBING.search(f.name)}
    shared = _common_folder([f.name for f in images if f.name not in climbing])
    named, seen = [], set()
    for name, place, size, problem in images:
        if name in climbing:
            problem = "its name leads out of the archive"
        else:
            name = name[len(shared) :]
        if size > LARGEST_FILE:
            problem = problem or f"{size:,} bytes are too many for an image"
        if name in seen:
            problem = problem or "a second file of this name"
        seen.add(name)
        named.append(Found(name, place, size, problem))
    # Of two files of one name the first stays first.
    return sorted(named, key=lambda found: found.name)


def _common_folder(names: list[str]) -> str:
    """The longest 'a/b/' that all names start with."""
    folders = {"/" + name.rpartition("/")[0] for name in names}
    return f"{os.path.commonpath(folders)}/".lstrip("/") if folders else ""
