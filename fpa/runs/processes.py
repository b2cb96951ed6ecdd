"""The processes of a training: the signals that stop it, several of them at once, a job that is queued again."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from fpa.core.errors import Stopped
from fpa.core.progress import log

PR_SET_PDEATHSIG = 1
GRACE = 20.0
"""Seconds that processes have to end by themselves when another one has failed."""
POLL = 0.1
TIME_LIMIT_SIGNAL = "SIGUSR1"
"""What Slurm sends before the time limit (sbatch's --signal)."""
PATIENCE = 60.0
"""Seconds in which Slurm ends a job that it has queued again."""


class Interrupted(Exception):
    """A signal ended something that can be done again."""


class StopSignal:
    """Notes the first SIGINT, SIGTERM, SIGHUP or SIGUSR1 inside its block.

    Of those that follow, SIGINT acts as it does outside the block: who presses Ctrl-C twice does not want
    to wait. The others are what schedulers send to every process of a job, often more than once, while it saves; they
    are left alone. SIGHUP, of a terminal that is closed, stays ignored where nohup has it ignored. A block inside
    its own block changes nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

    def __init__(self) -> None:
        self.received: str | None = None
        self._interrupts = False
        self._depth = 0

    def __enter__(self) -> StopSignal:
        if not self._depth:
            self.before = {n: signal.signal(n, self._note) for n in self.SIGNALS if not _is_kept(n)}
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            for number, handler in self.before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received:
            return
        self.received = signal.Signals(number).name
        signal.signal(signal.SIGINT, self.before[signal.SIGINT])
        if self._interrupts:
            raise Interrupted

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A part that a signal ends at once, by Interrupted, because it can be done again."""
        self._interrupts = True
        try:
            if self.received:
                raise Interrupted
            yield
        finally:
            self._interrupts = False


def _is_kept(number: int) -> bool:
    """Whether a signal stays ignored. What `launch` starts gets its signals from there only."""
    launched = is_worker() and not is_torchrun()
    return number == signal.SIGHUP and not launched and signal.getsignal(number) == signal.SIG_IGN


def rank() -> int:
    """This process's number among those of its training, 0 for the first or only one."""
    return int(os.environ.get("RANK", "0"))


def is_worker() -> bool:
    """Whether this is one of several processes, of `launch` or of torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_torchrun() -> bool:
    """Whether torchrun started this process, which then chooses its GPU itself."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def hard_exit(code: int) -> NoReturn:
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

    environment: further variables of theirs, as those that `devices.assign_gpus` returns. A signal
    noted in `stop` is handed to the first process, which the others follow. None of them outlives the
    others, nor this process.
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

    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
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


@contextmanager
def requeue_at_time_limit(stop: StopSignal) -> Iterator[None]:
    """A block whose Stopped, if Slurm's warning was the reason, makes Slurm queue the job again.

    Slurm then ends this process, so the block is left only where the job cannot be queued again:
    outside Slurm, or where the site does not allow it. A job that is cancelled or preempted gets
    SIGTERM instead, and whoever sent that decides what comes next.
    """
    try:
        yield
    except Stopped as reason:
        job = os.environ.get("SLURM_JOB_ID")
        if job and stop.received == TIME_LIMIT_SIGNAL:
            log.warning("stopped by %s; Slurm is asked to queue job %s again", reason, job)
            _queue_again(job)
        raise


def _queue_again(job: str) -> None:
    # Everything is saved: Slurm's next signal may end this process, even before scontrol returns.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    command = ["scontrol", "requeue", job]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.CalledProcessError as error:
        log.warning("Slurm does not queue job %s again: %s", job, " ".join(error.stderr.split()))
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("Slurm does not queue job %s again: %s", job, error)
    else:
        time.sleep(PATIENCE)
