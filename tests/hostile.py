"""What keeps a test safe from the file that it tries: no code, no memory, no time, no other folder."""

import os
import resource
import signal
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 1 << 30
"""Bytes above what the process has: many honest files of their kind, a small part of any bomb."""
SECONDS = 300
"""Of CPU time. A guard against what never ends, not a measurement."""


class Payload:
    """Pickled, it is a call: unpickled by anything careless, it leaves a trace."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@contextmanager
def contained(place: Path, into: Path) -> Iterator[None]:
    """Fails unless the block stays within the limits and writes below `into` alone.

    place: the test's folder; whatever runs code leaves a file `canary` there.
    """
    before = _files(place, into)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    handler = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
    assert not (place / "canary").exists(), "code was run"
    assert _files(place, into) == before, "something was written elsewhere"


class TooLong(BaseException):
    """Not an Exception: no reader may take it for a damaged file."""


def _too_long(*_: object) -> None:
    raise TooLong


def _files(place: Path, into: Path) -> set[tuple[str, int, int]]:
    found = set()
    for path in place.rglob("*"):
        if not path.is_relative_to(into) and path.is_file() and not path.is_symlink():
            about = path.stat()
            found.add((str(path), about.st_size, about.st_mtime_ns))
    return found
