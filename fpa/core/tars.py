"""Tars from elsewhere: nothing in one fills the memory or makes reading it go on for ever."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

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
    return tarfile.open(fileobj=cast(Any, _Limited(file, most)), mode="r:")


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in their order; ReadError when one says that the next lies before it."""
    for member in archive:
        if member.size < 0 or archive.offset <= member.offset:
            raise tarfile.ReadError(f"{member.name!r} has a negative size")
        yield member


def is_plain_file(member: tarfile.TarInfo) -> bool:
    """Whether a member is a file with all its bytes: no link, device or sparse file."""
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
