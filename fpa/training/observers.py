"""What looks on while a training runs: its status file, its snapshots, and the loggers asked for.

None of them changes a training's result, and none can stop it.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.core.errors import Stopped, one_line
from fpa.core.progress import log
from fpa.runs.execution import unchanged_random_state
from fpa.training.loggers import LOGGERS, Logger, RunInfo
from fpa.training.snapshots import Film
from fpa.training.status import State, StatusFile

if TYPE_CHECKING:
    from fpa.training.loop import Training


class Observers:
    """The observers of a training, from where it stands now to the end of the block."""

    def __init__(self, training: "Training", folder: Path, loggers: Iterable[str] = ()) -> None:
        self.training, run = training, training.run
        self.status = StatusFile(
            folder / artifacts.STATUS, training.steps, run.training.batch_size, training.step
        )
        self.film = Film(folder / artifacts.SNAPSHOTS, training.step)
        about = RunInfo(run, folder, training.step)
        self._loggers: dict[str, Logger] = {}
        for name in dict.fromkeys(loggers):
            self._guarded(name, partial(self._begin, name, about))
        self._seen = self._newest()
        self._write_status("training")

    def _newest(self) -> float:
        """The step of the newest history row, -1 before the first."""
        return self.training.history[-1]["step"] if self.training.history else -1

    def _begin(self, name: str, about: RunInfo) -> None:
        self._loggers[name] = LOGGERS.find(name, "runtime.loggers").begin(about)

    def look(self) -> None:
        """After a step: pass on new history rows, and write the status if it is time."""
        new = [row for row in self.training.history[-2:] if row["step"] > self._seen]
        for row in new:
            images = self.training.pictures.pop(int(row["step"]), None)
            if images is not None:
                self.film.add(row, images)
            for name, logger in [*self._loggers.items()]:
                self._guarded(name, partial(logger.log, row, images))
        self._seen = self._newest()
        if self.status.due() or any("fid" in row for row in new):
            self._write_status("training")

    def went_back(self) -> None:
        """After a NaN: the training is at an earlier step again."""
        self._seen = self._newest()
        self.training.pictures.clear()
        self.film.cut(self.training.step)

    def __enter__(self) -> "Observers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state: State = "failed"
        if error is None:
            state = "finished"
        elif isinstance(error, Stopped):
            state = "stopped"
        self._write_status(state, "" if error is None else one_line(error))
        for name, logger in [*self._loggers.items()]:
            self._guarded(name, partial(logger.close, state))

    def _write_status(self, state: State, reason: str = "") -> None:
        training = self.training
        self.status.write(
            state, training.step, training.history, training.best, training.nan_reloads, reason
        )

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        """Call a logger, which may draw random numbers and fail in any way, but only once."""
        try:
            with unchanged_random_state(self.training.device):
                call()
        except (Exception, SystemExit) as error:
            self._loggers.pop(name, None)
            log.warning("logger %s: %s; the training goes on without it", name, one_line(error))
