"""Images in a zip."""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fpa.core.errors import UserError
from fpa.data.readers.base import LARGEST_FILE, Found, Reader

HEADER_MARGIN = 256
"""Bytes of name and extra field that a zip member is expected to have at most; more cost a read."""


class ZipReader(Reader):
    """Members of a zip, read by position, so that processes share one open file."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open(path, "rb")  # noqa: SIM115 (open as long as the reader)
        try:
            with zipfile.ZipFile(self.file) as archive:
                self.members = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
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
        # The local header: 30 bytes, then a name and an extra field, whose lengths it states.
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
    if member.compress_size > LARGEST_FILE:
        return f"{member.compress_size:,} packed bytes are too many for an image"
    return ""
