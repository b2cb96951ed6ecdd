"""What is told of a training while it runs: its status file, its snapshots, and the loggers asked for.

None of them changes a training's result, and none can stop it.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from fpa.core.errors import Stopped, one_line
from fpa.core.files import load_arrays, save_npz, write_text
from fpa.core.progress import log
from fpa.runs.execution import unchanged_random_state
from fpa.runs.folder import History, Numbers, RunFolder, State, Status
from fpa.training.loggers import LOGGERS, Logger, RunInfo
from fpa.training.loop import Observer, Training

STATUS_SECONDS = 10.0
"""Between two writes of the status, at least, while the training runs."""
RECENT_WRITES = 12
"""Over which the speed is taken: the last two minutes, about."""


@contextmanager
def observed(
    training: Training, folder: RunFolder, loggers: Iterable[str] = ()
) -> Iterator[Sequence[Observer]]:
    """The observers of a training, from where it stands now to the end of the block."""
    observers: list[Observer] = [SnapshotLog(folder.snapshots, training.step)]
    about = RunInfo(training.run, folder.path, training.step)
    observers += [LoggerObserver(name, about, training) for name in dict.fromkeys(loggers)]
    # Last: what it says was done is done.
    observers.append(StatusFile(folder.status, training))
    state: State = "finished"
    reason = ""
    try:
        yield observers
    except BaseException as error:
        state = "stopped" if isinstance(error, Stopped) else "failed"
        reason = one_line(error)
        raise
    finally:
        for observer in reversed(observers):
            observer.on_end(training, state, reason)


class LoggerObserver(Observer):
    """Passes a training's history and snapshots on to one logger, until that fails."""

    def __init__(self, name: str, about: RunInfo, training: Training) -> None:
        self.name = name
        self._logger: Logger | None = None
        self._guarded(training, partial(self._begin, about))

    def _begin(self, about: RunInfo) -> None:
        self._logger = LOGGERS.find(self.name, "runtime.loggers").begin(about)

    def on_step(self, training: Training) -> None:
        for row in training.new_rows:
            if logger := self._logger:
                self._guarded(training, partial(logger.log, *row))

    def on_end(self, training: Training, state: State, reason: str) -> None:
        if logger := self._logger:
            self._guarded(training, partial(logger.close, state))

    def _guarded(self, training: Training, call: Callable[[], None]) -> None:
        """Call a logger, which may draw random numbers and fail in any way, but only once."""
        try:
            with unchanged_random_state(training.device):
                call()
        except (Exception, SystemExit) as error:
            self._logger = None
            log.warning(
                "logger %s: %s; the training continues without it", self.name, one_line(error)
            )


class FileObserver(Observer):
    """An observer with a file. To fail to write it costs a warning, once: the training is worth more."""

    contents = ""
    _warned = False

    def _attempt(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            if not self._warned:
                what = one_line(error), self.contents
                log.warning("%s; the training continues without its %s", *what)
            self._warned = True


class SnapshotLog(FileObserver):
    """Snapshots of one training, in memory and in its file: the EMA generator's images of the same few
    latents at quick scores, from which the status page and the film of the training are made.

    The file holds `images` uint8 (F, N, C, H, W), and of each snapshot `step`, `kimg` and `fid` (F,).
    """

    contents = "snapshots"

    def __init__(self, path: Path, step: int) -> None:
        """Begin with the snapshots of the file, up to a step."""
        self.path = path
        self.frames = _read_snapshots(path)
        self.cut(step)

    def cut(self, step: int) -> None:
        """Forget the snapshots after a step: the training has gone back to it."""
        self.frames = [frame for frame in self.frames if frame["step"] <= step]

    def on_step(self, training: Training) -> None:
        for row in training.new_rows:
            if row.images is not None:
                self.add(row.values, row.images)

    def on_rollback(self, training: Training) -> None:
        self.cut(training.step)

    def add(self, row: Mapping[str, float], images: np.ndarray) -> None:
        self.cut(int(row["step"]) - 1)
        numbers = {key: np.asarray(row[key]) for key in ("step", "kimg", "fid")}
        # Another version may have kept other images.
        same = [frame for frame in self.frames if frame["images"].shape == images.shape]
        self.frames = [*same, {**numbers, "images": images}]
        arrays = {key: np.stack([frame[key] for frame in self.frames]) for key in self.frames[0]}
        self._attempt(lambda: save_npz(self.path, **arrays))


def _read_snapshots(path: Path) -> list[dict[str, np.ndarray]]:
    if not path.exists():
        return []
    try:
        with load_arrays(path) as found:
            arrays = {key: found[key] for key in ("step", "kimg", "fid", "images")}
        return [
            {key: array[i] for key, array in arrays.items()} for i in range(len(arrays["step"]))
        ]
    except Exception as error:
        # zipfile, zlib and NumPy each have their own words for a damaged file.
        log.warning("%s cannot be read (%s); its snapshots are lost", path, one_line(error))
        return []


class StatusFile(FileObserver):
    """Writes a training's status, now and then."""

    contents = "status"

    def __init__(self, path: Path, training: Training) -> None:
        """Write the first status."""
        self.path, self.first_step, self.started = path, training.step, time.time()
        self._begun = time.monotonic()
        self._seen = deque([(self._begun, training.kimg())], RECENT_WRITES)
        """Times and thousands of images of the newest writes."""
        self.write(training, "training")

    def on_step(self, training: Training) -> None:
        if self.is_due() or any("fid" in row.values for row in training.new_rows):
            self.write(training, "training")

    def on_end(self, training: Training, state: State, reason: str) -> None:
        self.write(training, state, reason)

    def is_due(self) -> bool:
        return time.monotonic() >= self._next

    def write(self, training: Training, state: State, reason: str = "") -> None:
        """Write the status now, in which NaN and infinity are null."""
        self._next = time.monotonic() + STATUS_SECONDS
        self._attempt(
            lambda: write_text(
                self.path,
                self._status(training, state, reason).model_dump_json(indent=2) + "\n",
            )
        )

    def _status(self, training: Training, state: State, reason: str) -> Status:
        now, history, best = time.monotonic(), training.history, training.best
        if training.kimg() < self._seen[-1][1]:
            # A reload went back: older speeds count no more.
            self._seen.clear()
        self._seen.append((now, training.kimg()))
        return Status(
            state=state,
            reason=reason,
            step=training.step,
            steps=training.steps,
            kimg=training.kimg(),
            images_per_second=self._images_per_second(),
            seconds_left=self._seconds_left(training, now) if state == "training" else None,
            nan_reloads=training.nan_reloads,
            losses=_losses(history),
            score=next((row for row in reversed(history) if "fid" in row), {}),
            best={"kimg": best.kimg, "fid": best.fid} if best else {},
            started=self.started,
            updated=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
            slurm_job=os.environ.get("SLURM_JOB_ID"),
        )

    def _images_per_second(self) -> float | None:
        (since, first), (until, last) = self._seen[0], self._seen[-1]
        return 1000 * (last - first) / (until - since) if last > first else None

    def _seconds_left(self, training: Training, now: float) -> float | None:
        done = training.step - self.first_step
        left = training.steps - training.step
        return left * (now - self._begun) / done if done > 0 else None


def _losses(history: History) -> Numbers:
    """The newest row that has losses: step 0 has none."""
    scores = ("fid", "precision", "recall")
    row = history[-1] if history else {}
    return {k: v for k, v in row.items() if k not in scores and not k.startswith("unrefined_")}
