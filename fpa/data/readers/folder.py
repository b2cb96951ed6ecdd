"""Images in a folder."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fpa.core.errors import UserError
from fpa.data.readers.base import Found, Reader


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
                raise UserError(f"cannot read {folder}: {error.strerror}") from error
            for entry in entries:
                name = prefix + entry.name
                if entry.is_symlink():
                    # A linked folder's images, if any, are missing: it is listed as one of them.
                    name += "/*.png" if entry.is_dir() else ""
                    yield Found(name, None, 0, "symbolic link; put the files themselves here")
                elif entry.is_dir():
                    left.append((entry.path, name + "/"))
                else:
                    about = entry.stat()
                    problem = "" if stat.S_ISREG(about.st_mode) else "not an ordinary file"
                    yield Found(name, (entry.path, about.st_mtime_ns), about.st_size, problem)

    def read(self, place: tuple[str, int]) -> bytes:
        with open(place[0], "rb") as file:
            return file.read()
