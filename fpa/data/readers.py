"""Encoded images in a folder, a zip, a tar, an LMDB or a package, listed and read in one way.

Images are read straight into memory, from any number of processes at once. Nothing is ever unpacked
under a name that an archive chose: what cannot be read in place (a compressed tar, an LMDB inside an
archive) is unwrapped into one file of a scratch folder, under a name of our own.
"""

import bz2
import gzip
import lzma
import math
import os
import re
import stat
import sys
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import lmdb

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import (
    DAMAGED,
    MOST_BLOWN_UP,
    atomic_open,
    check_ordinary,
    digest,
    is_plain_file,
    members,
    open_tar,
)
from fpa.core.lazy import sklearn_datasets
from fpa.core.progress import log
from fpa.data.image_kinds import ADVICE, LARGEST_FILE, START, kind_of


class Found(NamedTuple):
    """A file of a source: its name there, how its reader finds it again, and its size (bytes)."""

    name: str
    place: Any
    size: int
    problem: str = ""
    """Why it cannot be read; empty when it can."""


class Reader(ABC):
    """Reads one kind of source. Processes forked after `list` may call `read`."""

    kind: str
    """What the source is, for the manifest and messages."""
    path: Path | None = None
    """The file or folder that is read; None for images that come with a package."""
    root: str = ""
    """Folder that names are relative to, for sources that are not packed."""
    only_images: bool = False
    """Whether every file is an image, whatever its name."""

    @abstractmethod
    def list(self) -> Iterator[Found]:
        """Every file of the source."""

    @abstractmethod
    def read(self, place: Any) -> bytes:
        """The bytes of one file; OSError or ValueError when they are damaged."""

    def start(self, place: Any) -> bytes:
        """The first bytes of one file, START or more; OSError or ValueError like `read`."""
        return self.read(place)

    def close(self) -> None:  # noqa: B027 (most readers have nothing to close)
        """Close what is open."""


class FolderReader(Reader):
    """Files below a folder. Links are listed with a problem, never followed."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.root = str(self.path)

    def list(self) -> Iterator[Found]:
        # A stack rather than a recursion: folders may lie in one another a thousand times.
        left = [(self.root, "")]
        while left:
            folder, prefix = left.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                if HIDDEN.search(prefix):
                    continue
                raise UserError(f"cannot read {folder}: {error.strerror}") from error
            if prefix and {artifacts.MANIFEST, artifacts.IMAGES} <= {
                entry.name for entry in entries
            }:
                # A prepared data set, which may have a contact sheet beside it.
                continue
            for entry in entries:
                # UTF-8 whatever the locale: a data set's identity has the names.
                name = prefix + os.fsencode(entry.name).decode("utf-8", "surrogateescape")
                if entry.is_symlink():
                    # A linked folder's images, if any, are missing: it is listed as one of them.
                    name += "/*.png" if os.path.isdir(entry.path) else ""
                    yield Found(name, None, 0, "symbolic link; put the files themselves here")
                elif entry.is_dir():
                    left.append((entry.path, name + "/"))
                else:
                    about = entry.stat()
                    problem = "" if stat.S_ISREG(about.st_mode) else "not an ordinary file"
                    yield Found(name, (entry.path, about.st_mtime_ns), about.st_size, problem)

    def read(self, place: tuple[str, int]) -> bytes:
        return Path(place[0]).read_bytes()

    def start(self, place: tuple[str, int]) -> bytes:
        with open(place[0], "rb") as file:
            return file.read(START)


class _ArchiveReader(Reader):
    """Members of an archive, read by position, so that processes share one open file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open(path, "rb")  # noqa: SIM115 (open as long as the reader)

    def close(self) -> None:
        self.file.close()


class ZipReader(_ArchiveReader):
    kind = "zip"

    HEADER_MARGIN = 256
    """Bytes of name and extra field that a member is expected to have at most; more cost a read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with zipfile.ZipFile(self.file) as archive:
                self.members = archive.infolist()
                for member in self.members:
                    # Some programs of Windows pack names with their own separator.
                    member.filename = member.filename.replace("\\", "/")
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
            raise UserError(f"{path} is a damaged zip ({error}); fetch it again") from error

    def list(self) -> Iterator[Found]:
        for m in self.members:
            if not m.is_dir():
                place = (m.header_offset, m.compress_size, m.file_size, m.compress_type, m.CRC)
                yield Found(m.filename, place, m.file_size, self._problem(m))

    def _problem(self, member: zipfile.ZipInfo) -> str:
        if stat.S_ISLNK(member.external_attr >> 16):
            return "symbolic link; pack the files themselves"
        if member.flag_bits & 1:
            return "encrypted"
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"compression method {member.compress_type}; pack the zip the ordinary way"
        if member.compress_size > LARGEST_FILE:
            return f"{member.compress_size:,} packed bytes are too many for an image"
        return ""

    def read(self, place: tuple[int, int, int, int, int]) -> bytes:
        _, packed, size, method, crc = place
        data = self._packed(place, packed)
        if method == zipfile.ZIP_DEFLATED:
            # No more than the size that the zip states, so that a bomb stays small.
            data = zlib.decompressobj(-15).decompress(data, size + 1)
        if len(data) != size or zlib.crc32(data) != crc:
            raise ValueError("its bytes in the zip are damaged")
        return data

    def start(self, place: tuple[int, int, int, int, int]) -> bytes:
        # Deflated data begin with tables of at most some hundred bytes.
        data = self._packed(place, min(place[1], 1024))
        if place[3] == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-15).decompress(data, START)
        return data

    def _packed(self, place: tuple[int, int, int, int, int], count: int) -> bytes:
        """The first bytes of a member as they lie in the zip."""
        offset = place[0]
        # The local header: 30 bytes, then a name and an extra field, whose lengths it states.
        likely = 30 + self.HEADER_MARGIN + count
        block = os.pread(self.file.fileno(), likely, offset)
        if block[:4] != b"PK\x03\x04" or len(block) < 30:
            raise ValueError("its place in the zip is damaged")
        start = 30 + int.from_bytes(block[26:28], "little") + int.from_bytes(block[28:30], "little")
        if start + count > likely:
            return os.pread(self.file.fileno(), count, offset + start)
        return block[start : start + count]


class TarReader(_ArchiveReader):
    kind = "tar"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with open_tar(self.file) as archive:
                self.members = list(members(archive))
                end = archive.offset
        except DAMAGED as error:
            raise UserError(
                f"{path} is not a whole zip or tar archive, nor a folder ({error}); fetch it again, or "
                "unpack it if it is an archive of another kind"
            ) from error
        # A tar ends in blocks of zeros; tarfile does not notice when one was cut between two members.
        if os.pread(self.file.fileno(), tarfile.BLOCKSIZE, end) != bytes(tarfile.BLOCKSIZE):
            raise UserError(f"{path} is a tar whose end is missing; fetch it again, whole")

    def list(self) -> Iterator[Found]:
        for member in self.members:
            problem = "" if is_plain_file(member) else "not an ordinary file"
            if member.issym() or member.islnk():
                problem = "link; pack the files themselves"
            if not member.isdir():
                place = (member.offset_data, member.size)
                yield Found(member.name, place, member.size, problem)

    def read(self, place: tuple[int, int]) -> bytes:
        offset, size = place
        data = os.pread(self.file.fileno(), size, offset)
        if len(data) != size:
            raise ValueError("its bytes in the tar are damaged")
        return data

    def start(self, place: tuple[int, int]) -> bytes:
        offset, size = place
        return os.pread(self.file.fileno(), min(START, size), offset)


class LmdbReader(Reader):
    """LSUN's format: one LMDB whose values are encoded images, in the order of the keys."""

    kind, only_images = "lmdb", True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environments: dict[int, lmdb.Environment] = {}
        try:
            with self._open() as environment:
                needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        except lmdb.Error as error:
            raise UserError(f"{path} is not a whole LMDB ({error}); fetch it again") from error
        # Reading a page past the end of the file would kill the process instead of raising an error.
        if path.stat().st_size < needed:
            raise UserError(
                f"{path} has {path.stat().st_size:,} of {needed:,} bytes; fetch it again, whole"
            )

    def _open(self) -> Any:
        return lmdb.open(str(self.path), subdir=False, readonly=True, lock=False, readahead=False)

    def list(self) -> Iterator[Found]:
        try:
            with self._open() as environment, environment.begin() as transaction:
                # Keys alone: asking for the values' sizes would read all over the file.
                for key in transaction.cursor().iternext(keys=True, values=False):
                    yield Found(key.decode("utf-8", "backslashreplace"), key, 0)
        except lmdb.Error as error:
            raise UserError(f"{self.path} is a damaged LMDB ({error}); fetch it again") from error

    def read(self, place: bytes) -> bytes:
        # An LMDB must not be used after a fork if it was opened before.
        environment = self.environments.get(os.getpid())
        if environment is None:
            environment = self.environments[os.getpid()] = self._open()
        with environment.begin() as transaction:
            value: bytes | None = transaction.get(place)
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
        # Values run from 0 to 16; 255/16 spreads them over a byte.
        scaled = sklearn_datasets.load_digits().images * 255 / 16
        self.pixels: Any = scaled.round().astype("uint8")

    def list(self) -> Iterator[Found]:
        for i, pixels in enumerate(self.pixels):
            yield Found(f"{i:04d}", i, pixels.size)

    def read(self, place: int) -> bytes:
        height, width = self.pixels[place].shape
        data: bytes = self.pixels[place].tobytes()
        return f"P5 {width} {height} 255\n".encode() + data


# Which reader a file needs ------------------------------------------------------------------------

DATABASE = "data.mdb"
LMDB_MAGIC = (0xBEEFC0DE).to_bytes(4, sys.byteorder)
"""Behind the header of an LMDB's first page."""
COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""How a compressed file starts, and what opens it."""


def open_path(place: Path, scratch: Path) -> Reader:
    """The reader for a file or folder. UserError when it is missing, damaged or of no known kind.

    scratch: the folder where an archive is unwrapped if it must be.
    """
    check_ordinary(place)
    try:
        if place.is_dir():
            folder = FolderReader(place)
            if not any(path.is_file() for path in (place / DATABASE, *place.glob(f"*/{DATABASE}"))):
                return folder
            database = _database(folder)
            return LmdbReader(place / database) if database else folder
        if zipfile.is_zipfile(place):
            return _open_zip(place, scratch)
        with open(place, "rb") as file:
            start = file.read(START)
    except OSError as error:
        raise UserError(f"cannot read {place}: {error.strerror or error}") from error
    for magic, opener in COMPRESSED.items():
        if start.startswith(magic):
            with opener(place) as source:
                return _open_tar(_unwrap(source, place, "tar", scratch), scratch)
    if start.startswith(b"PK\x03\x04"):
        raise UserError(f"{place} is a zip whose end is missing; fetch it again, whole")
    if start[16:20] == LMDB_MAGIC:
        return LmdbReader(place)
    if kind := kind_of(start):
        raise UserError(f"{place} is a single image ({kind}); name the folder that holds it")
    return _open_tar(place, scratch)


def _open_zip(path: Path, scratch: Path) -> Reader:
    reader = ZipReader(path)
    name = _database(reader)
    member = next((m for m in reader.members if m.filename == name), None)
    if member is None:
        return reader
    reader.close()
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as source:
            return LmdbReader(_unwrap(source, path, member.filename, scratch))
    except (RuntimeError, zipfile.BadZipFile) as error:
        # Encrypted, of an unknown compression (NotImplementedError), or with a damaged header.
        raise UserError(f"{path}: {member.filename} cannot be unpacked ({error})") from error


def _open_tar(path: Path, scratch: Path) -> Reader:
    reader = TarReader(path)
    name = _database(reader)
    member = next((m for m in reader.members if m.name == name), None)
    if member is None:
        return reader
    if not is_plain_file(member):
        raise UserError(f"{path}: {member.name} is not an ordinary file")
    with reader.file as file:
        file.seek(member.offset_data)
        return LmdbReader(_unwrap(file, path, member.name, scratch, member.size))


def _database(reader: Reader) -> str:
    """The name of the LMDB in a folder or archive, empty without one.

    UserError where it is not alone: then it is not known which images are meant.
    """
    files = list(reader.list())
    names = [f.name for f in files if f"/{f.name}".endswith(f"/{DATABASE}")]
    names = [name for name in names if not HIDDEN.search(_tidy(name))]
    if not names:
        return ""
    others = (f for f in files if f.name not in names and not _not_an_image(f, reader))
    beside = names[1] if len(names) > 1 else next((f.name for f in others), "")
    if beside:
        raise UserError(
            f"{reader.path} holds an LMDB and other images ({_tidy(names[0])} and {_tidy(beside)}), "
            "and it is not known which are meant; put them into folders of their own, and name one"
        )
    return names[0]


def _unwrap(
    source: IO[bytes], archive: Path, part: str, scratch: Path, left: float = math.inf
) -> Path:
    """Copy a part of an archive into the scratch folder, unless it is there already.

    left: its bytes, where the source does not end behind it.
    """
    about = archive.stat()
    stamp = digest([str(archive), part, about.st_size, about.st_mtime_ns])[:10]
    target = scratch / f"unwrapped-{stamp}"
    if target.exists():
        return target
    log.info("unwrapping %s", archive)
    with atomic_open(target) as file:
        while True:
            try:
                chunk = source.read(int(min(1 << 20, left)))
            except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
                raise UserError(f"{archive} is damaged ({error}); fetch it again, whole") from error
            if not chunk:
                return target
            file.write(chunk)
            left -= len(chunk)
            if file.tell() > MOST_BLOWN_UP * about.st_size:
                raise UserError(
                    f"{archive} unpacks to more than {MOST_BLOWN_UP} times its size; "
                    "this is not an archive of images"
                )


# Which files are images, in which order -----------------------------------------------------------

IMAGE_SUFFIXES = frozenset(
    "avif bmp gif heic heif hif jfif jpe jpeg jpg pbm pgm png ppm tif tiff webp".split()
)
"""Names that promise an image: such a file is one, or is damaged."""
ODD = re.compile(r"(^|/)[./]")
"""Names that need a closer look: few do, and there may be a million."""
HIDDEN = re.compile(
    r"(?:^|[/\\])(?:\.(?!\.[/\\])"
    r"|(?:__MACOSX|@eaDir|@__thumb|@Recycle|@Recently-Snapshot|#recycle|RECYCLER|\$RECYCLE\.BIN"
    r"|lost\+found|_vti_cnf|System Volume Information|Network Trash Folder|Temporary Items)[/\\]"
    r"|SYNO(?:PHOTO|FILE|VIDEO)_|(?:eh)?thumbs[^/\\]*\.db$|desktop\.ini$)",
    re.IGNORECASE,
)
"""What operating systems and file servers keep beside photographs: thumbnails, settings, bins."""
HIDDEN_FILE = "hidden file"
NO_IMAGE = "no image by its first bytes"
FORMERLY = "no image by its name"
"""What earlier versions said of a file that they did not look into."""
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CLIMBING = re.compile(r"^/|(^|/)\.\.(/|$)")


@dataclass(frozen=True)
class Listing:
    """The images of a source, in the order of their names, and its other files."""

    images: list[Found]
    """Their names are relative to the folder that holds them all. Some may have a problem."""
    ignored: list[Found]
    """Files that are not images by their contents, or hidden, with the reason as their problem."""


def kinds(left_out: Iterable[tuple[str, str]]) -> dict[str, int]:
    """How many files were not taken, of each kind; left_out: their names and the reasons."""
    found: Counter[str] = Counter()
    for name, reason in left_out:
        if reason == HIDDEN_FILE:
            found["hidden or kept by the system"] += 1
        elif reason in (NO_IMAGE, FORMERLY):
            found[Path(name.rpartition("/")[2]).suffix.lower() or "without a suffix"] += 1
        else:
            kind = reason.partition(";")[0]
            found["links" if "link" in kind else kind if kind in ADVICE else "unreadable"] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def in_words(kinds: Mapping[str, int]) -> str:
    """What was not taken, as '7 HEIC (what to do), 2 .txt'."""
    return ", ".join(
        f"{count:,} {kind}" + (f" ({ADVICE[kind]})" if kind in ADVICE else "")
        for kind, count in kinds.items()
    )


def list_images(
    reader: Reader, folders: tuple[str, ...] = ("",), without: Container[str] = ()
) -> Listing:
    """The images of a source, in an order and under names that do not depend on its kind.

    A file is an image by its name or, if that does not promise one, by its first bytes. folders:
    where to look; the first of these that holds images is read ("" for anywhere). without: names of
    files to take for none. UserError when there are no images.
    """
    candidates: list[Found] = []
    ignored: list[Found] = []
    for found in reader.list():
        if ODD.search(found.name) or not (found.name.isascii() and found.name.isprintable()):
            found = found._replace(name=_tidy(found.name))
        problem = FORMERLY if found.name in without else ""
        if not problem and not reader.only_images:
            problem = _not_an_image(found, reader)
        if problem:
            if problem == NO_IMAGE and f"/{found.name}".endswith(f"/{DATABASE}"):
                raise UserError(
                    f"{reader.path} holds an LMDB among other files ({found.name}), and it is not "
                    "known whether it is meant; name its folder, or move it away"
                )
            ignored.append(found._replace(problem=problem))
        else:
            candidates.append(found)
    for folder in folders:
        images = [f for f in candidates if not folder or _lies_in(f.name, folder, reader.root)]
        if images:
            return Listing(_name_and_check(images), ignored)
    where = str(reader.path or reader.kind)
    if not candidates:
        others = in_words(kinds((f.name, f.problem) for f in ignored)) or "it is empty"
        raise UserError(f"{where} holds no images ({others})")
    wanted = " or ".join(f"'{folder}'" for folder in folders)
    there = sorted({f.name.rpartition("/")[0] or "." for f in candidates})
    shown = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
    raise UserError(f"{where} holds no images in a folder {wanted}; found images in: {shown}")


def _tidy(name: str) -> str:
    """The name without empty and '.' parts; a leading '/' and '..' stay and are found later.

    Bytes that are not UTF-8 and control characters are escaped, so that the name can be printed and
    stored, in one line.
    """
    name = name.encode(errors="backslashreplace").decode()
    name = CONTROLS.sub(lambda found: ascii(found[0])[1:-1], name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _not_an_image(found: Found, reader: Reader) -> str:
    """Why a file is not to be read; empty for an image."""
    if HIDDEN.search(found.name):
        kind = "placeholder of iCloud"
        return f"{kind}; {ADVICE[kind]}" if found.name.endswith(".icloud") else HIDDEN_FILE
    if found.name.rpartition(".")[2].lower() in IMAGE_SUFFIXES:
        return ""
    if found.problem:
        return found.problem
    try:
        return "" if kind_of(reader.start(found.place)[:START]) else NO_IMAGE
    except (OSError, ValueError, zlib.error) as error:
        return f"cannot be read: {error}"


def _lies_in(name: str, folder: str, root: str) -> bool:
    parent = f"{root}/{name}".rpartition("/")[0]
    return f"/{parent}".endswith(f"/{folder}")


def _name_and_check(images: list[Found]) -> list[Found]:
    """The images sorted by relative name. A name that leads out or comes twice is a problem."""
    climbing = {f.name for f in images if ODD.search(f.name) and CLIMBING.search(f.name)}
    folders = {"/" + f.name.rpartition("/")[0] for f in images if f.name not in climbing}
    # The longest 'a/b/' that all names start with.
    shared = f"{os.path.commonpath(folders)}/".lstrip("/") if folders else ""
    named: list[Found] = []
    seen: set[str] = set()
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
    # The sort is stable: of two files of one name the first stays first.
    return sorted(named, key=lambda found: found.name)
