"""What an experiment's trainings are doing now, in a terminal, as JSON and as a page."""

import base64
import functools
import io
import json
import math
import os
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import load_arrays, write_text
from fpa.data.picture import tiled_picture
from fpa.evaluation.metrics import METRICS, label_of
from fpa.experiment.experiment import Experiment, RunEntry
from fpa.reporting.report import template
from fpa.reporting.results import last_lines, status_of
from fpa.runs.folder import Numbers, RunFolder, Status

SILENT_SECONDS = 900
"""Without a word from a training on another machine, before it is called silent: a long quick score
comes between two writes of its status."""
LOG_LINES = 5
"""Shown of a failed training's log."""
COLUMNS = 4
"""Images in a row of a snapshot."""
UNSHOWN = ("step", "kimg")
"""Columns of a history that are shown elsewhere."""
OF_STATUS = (
    *("step", "steps", "kimg", "images_per_second", "seconds_left", "losses", "score", "best"),
    *("slurm_job", "host", "pid", "updated"),
)
"""What a training itself says of its state, in its status file."""
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""Clears a terminal."""


# Their state, from the results folder -------------------------------------------------------


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
    distance: str = METRICS["fid"].label
    """What the `fid` of these is called: only Inception's is an FID."""
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

    @property
    def name(self) -> str:
        return f"{self.label} on {self.dataset}, seed {self.seed}"


def run_states(experiment: Experiment, results: Path) -> list[RunState]:
    """Every run of an experiment, in its order."""
    return [_run_state(experiment, run, results) for run in experiment.runs]


def _run_state(experiment: Experiment, run: RunEntry, results: Path) -> RunState:
    folder = RunFolder(results / run.folder)
    status = folder.read_status()
    state, reason = _state(run, results, status)
    log = artifacts.train_log(run.dataset, run.model, folder.path.name)
    watch = experiment.config.models[run.model].training.watch_protocol
    watched_in = {p.extractor for p in experiment.protocols if p.name == watch}
    said = {name: getattr(status, name) for name in OF_STATUS} if status else {}
    if state == "trained":
        with suppress(UserError):
            summary = folder.read_summary()
            best = summary.best.as_json() if summary.best else {}
            said |= {"step": summary.steps, "steps": summary.steps, "kimg": summary.kimg}
            said |= {"best": best, "seconds_left": None}
    elif state != "training":
        said |= {"images_per_second": None, "seconds_left": None}
    return RunState(
        dataset=run.dataset,
        model=run.model,
        label=experiment.labels[run.model],
        seed=run.seed,
        folder=run.folder,
        state=state,
        reason=reason,
        distance=label_of("fid", watched_in),
        log=log,
        log_lines=last_lines(results / log, LOG_LINES) if state in ("failed", "lost") else (),
        snapshots=f"{run.folder}/{artifacts.SNAPSHOTS}" if folder.snapshots.exists() else None,
        **said,
    )


def _state(run: RunEntry, results: Path, status: Status | None) -> tuple[str, str]:
    plain, reason = status_of(run, results)
    if plain == "ok":
        return "trained", ""
    if status and status.state == "training":
        here, quiet = status.host == socket.gethostname(), time.time() - status.updated
        if here and _is_alive(status.pid):
            return "training", ""
        if here and plain != "failed":
            return "lost", f"its process {status.pid} is gone, without a word"
        if plain != "failed" and quiet > SILENT_SECONDS:
            return "silent", f"no sign of it for {duration(quiet)}"
        if plain != "failed":
            return "training", ""
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
        pass  # Somebody else's process is one too.
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


# As text ------------------------------------------------------------------------------------


def to_text(experiment: str, states: Sequence[RunState], width: int) -> str:
    """One line for each run, and below it what there is to say; no line is wider than `width`."""
    lines = [summary(experiment, states), ""]
    longest = max((len(run.name) for run in states), default=0)
    for run in states:
        lines.append(f"{run.name:<{longest}}  {run.state:<8}  {'  '.join(facts(run))}".rstrip())
        lines += [f"    {detail}" for detail in (run.reason, *numbers(run)) if detail]
        lines += [f"    | {line}" for line in run.log_lines]
    return "\n".join(
        line if len(line) <= width else f"{line[: max(width - 1, 0)]}…" for line in lines
    )


def summary(experiment: str, states: Sequence[RunState]) -> str:
    """How many runs are in which state."""
    counts = Counter(run.state for run in states)
    return f"{experiment}: " + ", ".join(f"{count} {state}" for state, count in counts.items())


def facts(run: RunState) -> list[str]:
    """Step, speed, time left, and where it runs."""
    found = []
    if run.step is not None and run.steps:
        found.append(f"step {run.step:,} of {run.steps:,} ({100 * run.step // run.steps}%)")
    if run.state == "training":
        if run.images_per_second is not None:
            found.append(f"{run.images_per_second:,.3g} images/s")
        if run.seconds_left is not None:
            found.append(f"{duration(run.seconds_left)} left")
    if run.host and run.state not in ("trained", "waiting"):
        job = f"Slurm job {run.slurm_job} " if run.slurm_job else ""
        found.append(f"{job}on {run.host}")
    return found


def numbers(run: RunState) -> list[str]:
    """The newest losses and the newest quick score, a line each."""
    found = []
    shown = {k: v for k, v in run.losses.items() if k not in UNSHOWN}
    if shown and run.state != "trained":
        step = run.losses.get("step")
        where = "?" if step is None else f"{step:,.0f}"
        found.append(f"{_values(shown, run.distance)} (step {where})")
    quick = []
    if score := {k: v for k, v in run.score.items() if k in ("fid", "precision", "recall")}:
        at = _number(run.score.get("kimg"))
        quick.append(f"quick score at {at} kimg: {_values(score, run.distance)}")
    if run.best.get("kimg") is not None:
        best, at = _number(run.best.get("fid")), _number(run.best["kimg"])
        quick.append(f"best {run.distance} {best} at {at} kimg")
    return [*found, "; ".join(quick)] if quick else found


def _values(found: Numbers, distance: str) -> str:
    return ", ".join(
        f"{distance if name == 'fid' else name} {_number(v)}" for name, v in found.items()
    )


def _number(value: float | None) -> str:
    return "NaN" if value is None or math.isnan(value) else f"{value:.3g}"


# As a page that reloads itself from disk ----------------------------------------------------


def to_page(
    experiment: str, states: Sequence[RunState], results: Path, every: float | None = None
) -> str:
    """HTML of all runs with their newest snapshots, which reloads itself `every` so many seconds."""
    return template("status.html").render(
        experiment=experiment,
        summary=summary(experiment, states),
        runs=states,
        facts=facts,
        numbers=numbers,
        snapshot=lambda run: newest_snapshot(results / run.snapshots) if run.snapshots else None,
        every=every and max(1, round(every)),
        written=time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def newest_snapshot(path: Path) -> dict[str, object] | None:
    """The last snapshot of a file as a data URL, with its kimg; None if it cannot be read."""
    try:
        return _newest(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@functools.lru_cache(maxsize=512)
def _newest(path: Path, changed: int) -> dict[str, object] | None:
    """Read anew only when the file has changed."""
    try:
        with load_arrays(path) as found:
            images, kimg = found["images"][-1], float(found["kimg"][-1])
        picture = tiled_picture(images, COLUMNS)
    except Exception:
        # Whatever a damaged file leads to: the page is about the others too.
        return None
    file = io.BytesIO()
    picture.save(file, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"source": source, "kimg": f"{kimg:.4g}", "width": picture.width}


# Shown, once or again and again -------------------------------------------------------------


def show(
    results: Path, as_json: bool = False, page: Path | None = None, every: float | None = None
) -> None:
    """Print the state of all runs, as text or JSON, or write it as a page.

    With `every`, again after so many seconds, until every run is trained or Ctrl-C is pressed.
    """
    while True:
        # Read each time: a changed configuration may have planned other runs.
        experiment = Experiment.read(results)
        states = run_states(experiment, results)
        done = every is None or all(run.state == "trained" for run in states)
        if page:
            write_text(page, to_page(experiment.name, states, results, None if done else every))
        elif as_json:
            found = {"experiment": experiment.name, "runs": [asdict(run) for run in states]}
            # One object a line when it is followed.
            indent = 2 if every is None else None
            print(json.dumps(found, indent=indent, allow_nan=False), flush=True)
        else:
            live = sys.stdout.isatty()
            width = shutil.get_terminal_size().columns if live else 10_000
            now = f"{CLEAR if live else ''}{time.strftime('%H:%M:%S')} "
            text = to_text(experiment.name, states, width)
            print(text if every is None else now + text, flush=True)
        if every is None or done:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            return
