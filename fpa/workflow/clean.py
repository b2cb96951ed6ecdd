"""What lies in results and data folders and no configuration needs any more."""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fpa.data.sources import store_name
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.workflow.cost_estimate import format_bytes

STORE = re.compile(r".+-\d+px-[0-9a-f]{10}")
"""Names of prepared data sets' folders (fpa.data.sources.store_name)."""
OLD = 24 * 3600
"""Seconds after which a half-written file is nobody's any more."""


class Leftover(NamedTuple):
    """A file or folder that may go."""

    path: Path
    why: str

    @property
    def bytes(self) -> int:
        """What is freed; a file with two names frees nothing before the second one goes."""
        if self.path.is_file():
            return self.path.stat().st_size
        files = (path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink())
        return sum({about.st_ino: about.st_size for about in map(Path.stat, files)}.values())


def leftovers(plans: Sequence[Plan]) -> Iterator[Leftover]:
    """What none of these experiments needs, in their own results and data folders.

    Never a file of a finished run that one of them has, but for its checkpoints and what its
    scores were computed from.
    """
    for results in sorted({plan.results for plan in plans}):
        own = [e for e in plans if e.results == results]
        yield from _runs(results, own)
        yield from _half_written(results)
    for data in sorted({plan.data for plan in plans}):
        needed = {store_name(spec) for e in plans if e.data == data for spec in e.datasets.values()}
        for folder in sorted(data.glob("*")):
            if STORE.fullmatch(folder.name) and folder.name not in needed and folder.is_dir():
                yield Leftover(folder, "prepared images of no data set here")
        yield from _half_written(data)


def remove(leftover: Leftover) -> None:
    if leftover.path.is_dir() and not leftover.path.is_symlink():
        shutil.rmtree(leftover.path)
    else:
        leftover.path.unlink(missing_ok=True)


def list_leftovers(found: Sequence[Leftover], deleted: bool) -> Iterator[str]:
    """One line for each file or folder that may go, and what they take together."""
    for path, why in found:
        yield f"{path}  {why}"
    total = format_bytes(sum(leftover.bytes for leftover in found))
    yield f"{len(found)} to delete, {total}{'' if deleted or not found else ' (--yes deletes them)'}"


def _runs(results: Path, plans: Sequence[Plan]) -> Iterator[Leftover]:
    needed = {run.folder: run for plan in plans for run in plan.all_runs()}
    shown = {plan.experiment.samples_file for plan in plans}
    for folder in sorted(results.glob("runs/*/*/seed*-*")):
        run = needed.get(folder.relative_to(results).as_posix())
        if run is None:
            state = "finished" if RunFolder(folder).is_finished else "unfinished"
            yield Leftover(folder, f"{state} run of no model here")
            continue
        if RunFolder(folder).summary_of(run) is None:
            continue
        for path in reversed(RunFolder(folder).checkpoints()):
            yield Leftover(path, "checkpoint of a finished run")
        for pattern in ("samples-*.npy", "features-*.npy"):
            for path in sorted(folder.glob(pattern)):
                if path.name not in shown:
                    yield Leftover(path, "made again when a score needs it")


def _half_written(folder: Path) -> Iterator[Leftover]:
    for path in sorted(folder.rglob(".*.part")):
        if path.is_file() and time.time() - path.stat().st_mtime > OLD:
            yield Leftover(path, "half written, more than a day ago")
