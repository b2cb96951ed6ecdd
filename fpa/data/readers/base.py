"""What every reader of a source offers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

LARGEST_FILE = 1 << 28
"""Bytes of one encoded image; a larger file is no image of a training set."""


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

    def close(self) -> None:  # noqa: B027 (most readers have nothing to close)
        """Close what is open."""
