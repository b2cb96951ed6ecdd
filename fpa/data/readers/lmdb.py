"""Images in an LMDB, the format of LSUN."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fpa.core.errors import UserError
from fpa.data.readers.base import Found, Reader


class LmdbReader(Reader):
    """LSUN's format: one LMDB whose values are encoded images, in the order of the keys."""

    kind, only_images = "lmdb", True

    def __init__(self, path: Path) -> None:
        import lmdb

        self.path = path
        self.environments: dict[int, Any] = {}
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
        import lmdb

        return lmdb.open(str(self.path), subdir=False, readonly=True, lock=False, readahead=False)

    def list(self) -> Iterator[Found]:
        import lmdb

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
