"""The state of every run of an experiment, read from its results folder."""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import read_json
from fpa.reporting.description import Description, labels
from fpa.reporting.state import last_lines, status_of
from fpa.training.status import Numbers, Status, read_status

SILENT_SECONDS = 900
"""Without a word from a training on another machine, before it is called silent: a long quick score
comes between two writes of its status."""
LOG_LINES = 5
"""Shown of a failed training's log."""


@dataclass(frozen=True)
class RunState:
    """A run as it stands."""

    dataset: str
    model: str
    label: str
    seed: int
    folder: str
    state: str
    """`trained`, `training`, `silent`, `stopped`, `lost`, `failed` or `waiting`."""
    reason: str = ""
    step: int | None = None
    steps: int | None = None
    kimg: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    losses: Numbers = field(default_factory=dict)
    """The newest row of its history."""
    score: Numbers = field(default_factory=dict)
    """The newest row with a quick score."""
    best: Numbers = field(default_factory=dict)
    slurm_job: str | None = None
    host: str | None = None
    pid: int | None = None
    updated: float | None = None
    """Seconds since 1970."""
    log: str = ""
    """The training's log, below the results folder."""
    log_lines: tuple[str, ...] = ()
    """Its last lines, where the training failed or is lost."""
    snapshots: str | None = None
    """The file of its snapshots, below the results folder."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_states(about: Description, results: Path) -> list[RunState]:
    """Every run of an experiment, in its order."""
    names = labels(about)
    return [_run_state(run, names[run["model"]], results) for run in about["runs"]]


def _run_state(run: Mapping[str, Any], label: str, results: Path) -> RunState:
    folder = results / run["folder"]
    status = read_status(folder / artifacts.STATUS)
    state, reason = _state(run, results, status)
    found = _numbers(status) if status else {}
    if state == "trained":
        found |= _of_summary(folder)
    elif state != "training":
        found["images_per_second"] = found["seconds_left"] = None
    log = artifacts.train_log(run["dataset"], run["model"], folder.name)
    snapshots = folder / artifacts.SNAPSHOTS
    return RunState(
        dataset=run["dataset"],
        model=run["model"],
        label=label,
        seed=run["seed"],
        folder=run["folder"],
        state=state,
        reason=reason,
        log=log,
        log_lines=last_lines(results / log, LOG_LINES) if state in ("failed", "lost") else (),
        snapshots=f"{run['folder']}/{artifacts.SNAPSHOTS}" if snapshots.exists() else None,
        **found,
    )


def _numbers(status: Status) -> dict[str, Any]:
    kept = {field: getattr(status, field) for field in Status.model_fields}
    return {k: v for k, v in kept.items() if k not in ("state", "reason", "started", "nan_reloads")}


def _of_summary(folder: Path) -> dict[str, Any]:
    """What a finished training says of itself."""
    try:
        summary = read_json(folder / artifacts.SUMMARY)
        return {
            "step": summary["steps"],
            "steps": summary["steps"],
            "kimg": summary["kimg"],
            "best": summary["best"] or {},
            "seconds_left": None,
        }
    except (UserError, LookupError, TypeError):
        return {}


def _state(run: Mapping[str, Any], results: Path, status: Status | None) -> tuple[str, str]:
    """A run's state and the reason."""
    plain, reason = status_of(run, results)
    if plain == "ok":
        return "trained", ""
    if status and status.state == "training":
        quiet = time.time() - status.updated
        if status.host == socket.gethostname():
            if _is_alive(status.pid):
                return "training", ""
            if plain != "failed":
                return "lost", f"its process {status.pid} is gone, without a word"
        elif plain != "failed":
            silent = quiet > SILENT_SECONDS
            return (
                ("silent", f"no sign of it for {duration(quiet)}") if silent else ("training", "")
            )
    if plain == "failed":
        return plain, reason
    if status and status.state in ("failed", "stopped"):
        return status.state, status.reason
    return ("stopped", reason) if plain == "unfinished" else ("waiting", reason)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # Somebody else's process is one too.
        return True
    return True


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes, hours = round(seconds / 60), int(seconds / 3600)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{hours // 24} d {hours % 24} h"
