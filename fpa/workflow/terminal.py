"""What `make fid` shows: what is being done, how far it is and how long it will take.

A logger plugin of Snakemake: `--logger fpa` puts it in the place of Snakemake's own lines about every
job, and quiets what the jobs say, errors and warnings excepted; their logs have all of it. With
`--verbose`, or without `--logger fpa`, everything is shown as Snakemake shows it.
"""

import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from logging import WARNING, LogRecord
from pathlib import Path
from typing import TypeAlias

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

from fpa.reporting.status import duration
from fpa.runs.folder import RunFolder

FIRST_SECONDS = 20
"""Until the first line of progress where no live bar can be drawn."""
GROWTH = 1.2
"""How much longer it takes until each next one, so that a long run fills no screen."""
FIRST_SHARE = 0.03
"""Of a training, from which on its own word of the time left is believed."""
WAITS = 1.0
"""Seconds between two looks at the trainings."""

Seen: TypeAlias = tuple[float, float | None] | None
"""Of a training, as far as it is known: its share that is done, and seconds left."""


@dataclass
class Job:
    """A job of the workflow."""

    rule: str
    wildcards: dict[str, str]
    folder: Path | None
    """Of the run, where it is a training."""
    started: float = field(default_factory=time.monotonic)

    @property
    def subject(self) -> str:
        """What it works on: data set, model and seed, as far as there are any."""
        known = self.wildcards
        words = [known[name] for name in ("model", "dataset") if name in known]
        seed, _, digest = known.get("run", "").partition("-")
        return " on ".join(words) + (f", {seed.replace('seed', 'seed ')}" if digest else "")


class LogHandler(LogHandlerBase):
    """Snakemake's events as a person wants to read them."""

    def __post_init__(self) -> None:
        self.shows = not (self.common_settings.verbose or self.common_settings.dryrun)
        self.counts: Counter[str] = Counter()
        """Jobs by rule, those that are done taken off."""
        self.running: dict[int, Job] = {}
        self.taken: dict[bool, list[float]] = {True: [], False: []}
        """Seconds of the jobs that are done: of trainings, and of all others."""
        self.total = self.width = 0
        self.begun = self.last_line = time.monotonic()
        self.wait: float = FIRST_SECONDS
        self.bar: tqdm | None = None
        self.guard = threading.RLock()
        self.over = threading.Event()
        if self.shows:
            os.environ["FPA_PROGRESS"] = "errors"

    @property
    def writes_to_stream(self) -> bool:
        """Where it shows nothing, Snakemake's own handler writes."""
        return self.shows

    @property
    def writes_to_file(self) -> bool:
        """Snakemake keeps a log of its own."""
        return False

    has_filter = has_formatter = True
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        """One event."""
        if not self.shows:
            return
        with self.guard:
            event = getattr(record, "event", None)
            if event == LogEvent.RUN_INFO:
                self._begin(record.__dict__["stats"])
            elif event == LogEvent.JOB_INFO:
                self._start(record)
            elif event == LogEvent.JOB_FINISHED:
                self._finish(record.__dict__["job_id"])
            elif event == LogEvent.JOB_ERROR:
                self._fail(record)
            elif record.levelno >= WARNING or "Nothing to be done" in str(record.msg):
                self._say(record.getMessage().strip())

    def close(self) -> None:
        """The end of the workflow."""
        if not self.over.is_set():
            self.over.set()
            with self.guard:
                self._end()
        super().close()

    def _end(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if self.total and not sum(self.counts.values()):
            self._say(f"all {self.total} steps done in {duration(time.monotonic() - self.begun)}")

    def _begin(self, stats: dict[str, int]) -> None:
        self.counts = Counter({rule: count for rule, count in stats.items() if rule != "total"})
        self.total = sum(self.counts.values())
        trainings = self.counts["train"]
        others = self.total - trainings
        parts = [f"{trainings} trainings"] if trainings else []
        parts += [f"{others} other steps"] if others else []
        self._say(f"{' and '.join(parts)} to do; what they say is in the results folder's logs/")
        if sys.stderr.isatty():
            shape = "{desc} {percentage:3.0f}% |{bar}| {postfix}"
            self.bar = tqdm(total=1.0, bar_format=shape, dynamic_ncols=True, leave=False)
        threading.Thread(target=self._watch, daemon=True).start()

    def _start(self, record: LogRecord) -> None:
        found = record.__dict__
        wildcards = {str(name): str(value) for name, value in found["wildcards"].items()}
        outputs = [str(path) for path in found["output"]]
        folder = Path(outputs[0]).parent if found["rule_name"] == "train" else None
        self.running[found["jobid"]] = Job(found["rule_name"], wildcards, folder)
        self.width = max(self.width, len(self.running))

    def _finish(self, number: int) -> None:
        job = self.running.pop(number, None)
        if job is None:
            return
        taken = time.monotonic() - job.started
        self.counts[job.rule] -= 1
        self.taken[job.folder is not None].append(taken)
        if job.folder is not None:
            self._say(f"trained {job.subject} in {duration(taken)}")
        elif job.rule == "prepare":
            self._say(f"prepared {job.wildcards['store']}")

    def _fail(self, record: LogRecord) -> None:
        found = record.__dict__
        job = self.running.pop(found["jobid"], None)
        logs = ", ".join(map(str, found.get("log") or ()))
        about = f" {job.subject}" if job and job.subject else ""
        self._say(f"failed: {found['rule_name']}{about}" + (f"; see {logs}" if logs else ""))

    # How far it is ------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self.over.wait(WAITS):
            with self.guard:
                self._show_progress()

    def _show_progress(self) -> None:
        now = time.monotonic()
        if self.bar is None and now - self.last_line < self.wait:
            return
        seen = [(job, _progress(job.folder)) for job in self.running.values()]
        left, told = self._left(now, seen), _told(seen)
        spent = now - self.begun
        share = spent / (spent + left) if left is not None else 0.0
        until = f"about {duration(left)} left" if left is not None else "time left not known yet"
        if self.bar is not None:
            self.bar.set_description_str(self._done(), refresh=False)
            self.bar.set_postfix_str(f"{until}  {told}", refresh=False)
            self.bar.n = round(share, 3)
            self.bar.refresh()
            return
        self.last_line, self.wait = now, self.wait * GROWTH
        self._say(f"{self._done()}, {until}: {told}")

    def _done(self) -> str:
        return f"{self.total - sum(self.counts.values())} of {self.total} steps"

    def _left(self, now: float, seen: list[tuple[Job, Seen]]) -> float | None:
        """Seconds, by what the trainings say and by what was done; None while nothing is known."""
        trainings, running = list(self.taken[True]), []
        for job, at in seen:
            if at and at[1] is not None:
                trainings.append(now - job.started + at[1])
                running.append(at[1])
        waiting = self.counts["train"] - len(running)
        if waiting and not trainings:
            return None
        others = self.taken[False]
        rest = sum(self.counts.values()) - self.counts["train"]
        work = sum(running) + waiting * (sum(trainings) / len(trainings) if trainings else 0)
        work += rest * (sum(others) / len(others) if others else 0)
        return max([work / max(self.width, 1), *running])

    # The terminal -------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        text = f"[{time.strftime('%H:%M:%S')}] {line}"
        if self.bar is not None:
            self.bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


def _told(seen: list[tuple[Job, Seen]]) -> str:
    """What runs now."""
    words = []
    for job, at in seen:
        done = f" {100 * at[0]:.0f}%" if at else ""
        words.append(f"{job.rule.replace('_', ' ')} {job.subject}".strip() + done)
    return "; ".join(words)


def _progress(folder: Path | None) -> Seen:
    """What the training in a folder says; None where it says nothing, or the job is none."""
    status = RunFolder(folder).read_status() if folder else None
    if status is None:
        return None
    share = status.step / max(status.steps, 1)
    # The first steps take longer than the others.
    return share, status.seconds_left if share >= FIRST_SHARE else None
