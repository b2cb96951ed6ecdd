"""One training as several processes of this machine, as torchrun starts them but with its signals."""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from fpa.runs.signals import StopSignal

PR_SET_PDEATHSIG = 1
GRACE = 20.0
"""Seconds that processes have to end by themselves when another one has failed."""
POLL = 0.1


def rank() -> int:
    """This process's number among those of its training, 0 for the first or only one."""
    return int(os.environ.get("RANK", "0"))


def is_worker() -> bool:
    """Whether this is one of several processes, of `launch` or of torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_torchrun() -> bool:
    """Whether torchrun started this process, which then has its GPU from no process of ours."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def leave(code: int) -> NoReturn:
    """End one of several processes: its output is written, no library is taken down.

    Threads of torch.distributed can outlive their group. Python's own end then sometimes aborts, and
    a training that was finished and written would count as failed.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def launch(
    command: Sequence[str],
    processes: int,
    stop: StopSignal,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a command in so many processes that find each other; the exit code of what failed first.

    environment: further variables of theirs, as those that `devices.share_out` returns. A signal noted in `stop` is handed to the first process, which the others follow. None of them
    outlives the others, nor this process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **(environment or {}),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        # Die with this process, and leave signals to whom they are handed to.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in StopSignal.SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    with tempfile.TemporaryFile("w+") as said:
        started: list[subprocess.Popen] = []
        try:
            for number in range(processes):
                own = {"RANK": str(number), "LOCAL_RANK": str(number)}
                started.append(
                    subprocess.Popen(
                        command,
                        env={**os.environ, **shared, **own},
                        stderr=said if number else None,
                        stdout=said if number else None,
                        preexec_fn=prepare,
                        start_new_session=True,
                    )
                )
            first, code = _wait(started, stop)
        finally:
            for process in started:
                process.kill()
                process.wait()
        if first:
            said.seek(0)
            sys.stderr.write(said.read())
        return code if code >= 0 else 128 - code


def _wait(started: Sequence[subprocess.Popen], stop: StopSignal) -> tuple[int, int]:
    """Until all have ended, or one has failed and the others had their time: (which, its code)."""
    failed: tuple[int, int] | None = None
    deadline = float("inf")
    while any(process.poll() is None for process in started) and time.monotonic() < deadline:
        if stop.received:
            # Again and again, because it may not listen yet; it answers once.
            started[0].send_signal(signal.Signals[stop.received])
        if failed is None:
            failed = _failure(started)
            deadline = time.monotonic() + GRACE if failed else deadline
        time.sleep(POLL)
    which, code = failed or _failure(started) or (0, 0)
    # The first process has said the same already.
    return (0 if started[0].poll() == code else which), code


def _failure(started: Sequence[subprocess.Popen]) -> tuple[int, int] | None:
    codes: Mapping[int, int | None] = {n: process.poll() for n, process in enumerate(started)}
    return next(((n, code) for n, code in codes.items() if code), None)
