"""A training whose time limit comes: saved, and queued again by Slurm as the same job."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fpa.core.errors import Stopped
from fpa.core.progress import log
from fpa.runs.signals import StopSignal

WARNING = "SIGUSR1"
"""What Slurm sends before the time limit (sbatch's --signal)."""
PATIENCE = 60.0
"""Seconds in which Slurm ends a job that it has queued again."""


@contextmanager
def at_the_time_limit(stop: StopSignal) -> Iterator[None]:
    """A block whose Stopped, if Slurm's warning was the reason, makes Slurm queue the job again.

    Slurm then ends this process, so the block is left only where the job cannot be queued again:
    outside Slurm, or where the site does not allow it. A job that is cancelled or preempted gets
    SIGTERM instead, and whoever sent that decides what comes next.
    """
    try:
        yield
    except Stopped as reason:
        job = os.environ.get("SLURM_JOB_ID")
        if job and stop.received == WARNING:
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
