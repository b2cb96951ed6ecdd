"""One process at a time in a folder, for processes of one machine and of several.

The lock is an flock, which dies with its process. Beside it stands who holds it; the holder renews
the file's time, for file systems whose locks do not reach other machines, or outlive them.
"""

import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from typing import NamedTuple

from fpa.core.errors import UserError
from fpa.core.progress import log

BEAT = 10.0
"""Seconds between two signs of life."""
LEASE = 120.0
"""Seconds without one after which a process of another machine is taken for dead."""
PAUSE = 0.5
"""Seconds between two looks at a lock that is waited for."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Holder(NamedTuple):
    """A process that holds a lock."""

    host: str
    pid: int
    user: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"

    @classmethod
    def me(cls) -> "Holder":
        """This process."""
        try:
            user = getuser()
        except (KeyError, OSError):
            user = f"user {os.getuid()}"
        return cls(socket.gethostname(), os.getpid(), user)


@contextmanager
def locked(folder: Path, doing: str, wait: bool = False) -> Iterator[None]:
    """Hold the folder for this process; the lock dies with the process, however it dies.

    doing: what this process does, for the others' messages. wait: until another process that holds
    it has ended; without it, that is a UserError. So is a file system without locks.
    """
    file, said = _take(folder), None
    while isinstance(file, Holder):
        if not wait:
            raise UserError(f"another process is {doing} ({file}); wait for it or stop it first")
        if file != said:
            said = file
            log.info("waiting for %s, which is %s", file, doing)
        time.sleep(PAUSE)
        file = _take(folder)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(file, done), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        # Nobody holds it now, not even where others do not see that the flock is gone.
        os.ftruncate(file, 0)
        os.close(file)


def _take(folder: Path) -> int | Holder:
    """The open lock file if this process holds it now, else who does."""
    path = folder / "lock"
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"cannot write {folder}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(file) or Holder("this machine", 0, "somebody")
            dead = holder.host != socket.gethostname() and holder.pid and not _alive(file, folder)
            os.close(file)
            if not dead:
                return holder
            # Its machine went down with the lock, and the file server does not know.
            path.unlink(missing_ok=True)
            continue
        except OSError as error:
            os.close(file)
            if error.errno in NO_LOCKS:
                raise UserError(
                    f"{folder} is on a file system without file locks, so that two processes could "
                    "spoil each other's files; mount it with locks (Lustre: -o flock), or set "
                    "another folder"
                ) from error
            raise
        former = _read(file)
        if former and former.host != socket.gethostname() and _alive(file, folder):
            # A file system whose locks do not reach other machines.
            os.close(file)
            return former
        if _is_still(path, file):
            try:
                os.ftruncate(file, 0)
                os.pwrite(file, json.dumps(Holder.me()).encode(), 0)
            except OSError as error:
                os.close(file)
                raise UserError(f"cannot write {folder}: {error.strerror}") from error
            return file
        os.close(file)


def _read(file: int) -> Holder | None:
    """Who holds the lock, as it is written there."""
    with suppress(ValueError, TypeError):
        return Holder(*json.loads(os.pread(file, 4096, 0)))
    return None


def _alive(file: int, folder: Path) -> bool:
    """Whether a holder gave a sign of life lately, by the clock of the file system."""
    with tempfile.TemporaryFile(dir=folder) as now:
        return os.fstat(now.fileno()).st_mtime - os.fstat(file).st_mtime < LEASE


def _is_still(path: Path, file: int) -> bool:
    """Whether the path leads to this open file: another process may have removed it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _beat(file: int, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            os.utime(file)
