"""What a training says of itself while it runs: a small file that `fpa status` reads.

Nothing here imports torch: whoever only looks reads with this module too.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from fpa.core.errors import one_line
from fpa.core.files import write_text
from fpa.core.progress import log

SECONDS = 10.0
"""Between two writes, at least, while the training runs."""
RECENT = 12
"""Writes over which the speed is taken: the last two minutes, about."""
State = Literal["training", "finished", "stopped", "failed"]
Numbers = dict[str, float | None]
"""Losses or scores by name; None for what is NaN or infinite, which JSON lacks."""


class Status(BaseModel):
    """The state of one training; times are seconds since 1970, rows those of its history."""

    state: State
    reason: str = ""
    """Why it stopped or failed."""
    step: int
    steps: int
    kimg: float
    images_per_second: float | None = None
    """Over the last two minutes."""
    seconds_left: float | None = None
    """At the mean speed of this attempt, quick scores and checkpoints included."""
    nan_reloads: int = 0
    """How often it went back to a checkpoint, after a NaN."""
    losses: Numbers = {}
    """The newest history row."""
    score: Numbers = {}
    """The newest row with a quick score."""
    best: Numbers = {}
    """kimg and fid of the best checkpoint."""
    started: float
    updated: float
    host: str
    pid: int
    slurm_job: str | None = None


def read_status(path: Path) -> Status | None:
    """A training's status; None where there is none, or none that can be read."""
    try:
        return Status.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


class StatusFile:
    """Writes a training's status, now and then. A file that cannot be written costs a warning."""

    def __init__(self, path: Path, steps: int, batch_size: int, step: int) -> None:
        self.path, self.steps, self.batch_size = path, steps, batch_size
        self.first_step, self.started = step, time.time()
        self._begun = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque([(self._begun, step)], RECENT)
        self._next, self._warned = self._begun, False

    def due(self) -> bool:
        """Whether the last write is long enough ago."""
        return time.monotonic() >= self._next

    def write(
        self,
        state: State,
        step: int,
        history: list[dict[str, float]],
        best: Mapping[str, float] | None = None,
        nan_reloads: int = 0,
        reason: str = "",
    ) -> None:
        """Write the status now; a failure costs a warning."""
        self._next = time.monotonic() + SECONDS
        try:
            found = self._status(state, step, history, best, nan_reloads, reason)
            # NaN and infinity become null.
            write_text(self.path, found.model_dump_json(indent=2) + "\n")
        except Exception as error:
            # Whatever it is, the training is worth more.
            if not self._warned:
                log.warning("%s; the training goes on without its status", one_line(error))
            self._warned = True

    def _status(
        self,
        state: State,
        step: int,
        history: list[dict[str, float]],
        best: Mapping[str, float] | None,
        nan_reloads: int,
        reason: str,
    ) -> Status:
        now = time.monotonic()
        if step < self._seen[-1][1]:
            # A reload went back: older speeds count no more.
            self._seen.clear()
        self._seen.append((now, step))
        return Status(
            state=state,
            reason=reason,
            step=step,
            steps=self.steps,
            kimg=step * self.batch_size / 1000,
            images_per_second=self._images_per_second(),
            seconds_left=self._seconds_left(now, step) if state == "training" else None,
            nan_reloads=nan_reloads,
            losses=_losses(history),
            score=next((row for row in reversed(history) if "fid" in row), {}),
            best={key: best[key] for key in ("kimg", "fid")} if best else {},
            started=self.started,
            updated=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
            slurm_job=os.environ.get("SLURM_JOB_ID"),
        )

    def _images_per_second(self) -> float | None:
        (since, first), (until, last) = self._seen[0], self._seen[-1]
        return (last - first) * self.batch_size / (until - since) if last > first else None

    def _seconds_left(self, now: float, step: int) -> float | None:
        done = step - self.first_step
        return (self.steps - step) * (now - self._begun) / done if done > 0 else None


def _losses(history: list[dict[str, float]]) -> Numbers:
    """The newest row that has losses: step 0 has none."""
    scores = ("fid", "precision", "recall")
    row = history[-1] if history else {}
    return {k: v for k, v in row.items() if k not in scores and not k.startswith("unrefined_")}
