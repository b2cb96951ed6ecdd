"""Images in an uncompressed tar."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from fpa.core.errors import UserError
from fpa.core.tars import DAMAGED, is_plain_file, members, open_tar
from fpa.data.readers.base import Found, Reader


class TarReader(Reader):
    """Members of an uncompressed tar, read by position."""

    kind = "tar"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = open(path, "rb")  # noqa: SIM115 (open as long as the reader)
        try:
            with open_tar(self.file) as archive:
                self.members = list(members(archive))
                end = archive.offset
        except DAMAGED as error:
            raise UserError(
                f"{path} is not a whole zip or tar archive, nor a folder ({error}); fetch it again"
            ) from error
        # A tar ends in blocks of zeros; tarfile does not notice when one was cut between two members.
        if os.pread(self.file.fileno(), tarfile.BLOCKSIZE, end) != bytes(tarfile.BLOCKSIZE):
            raise UserError(f"{path} is a tar whose end is missing; fetch it again, whole")

    def list(self) -> Iterator[Found]:
        for member in self.members:
            if not member.isdir():
                place = (member.offset_data, member.size)
                link = member.issym() or member.islnk()
                problem = "link; pack the files themselves" if link else ""
                if not link and not is_plain_file(member):
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
