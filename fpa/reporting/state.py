"""What became of an experiment's runs, and what goes into its tables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.files import read_json
from fpa.core.progress import CONTROLS
from fpa.reporting.description import Description, score_file
from fpa.reporting.figures.base import load_file
from fpa.reporting.tables.kinds import OF_RUNS, run_files
from fpa.runs.folder import RunFolder

LARGEST_TAIL = 16_384
"""Bytes of a log that are read, from its end."""


def status_of(run: Mapping[str, Any], results: Path) -> tuple[str, str]:
    """Whether a run is `ok`, `failed`, `unfinished` or `missing`, and the reason."""
    folder = results / run["folder"]
    files = RunFolder(folder)
    if files.is_finished:
        return "ok", ""
    log = results / artifacts.train_log(run["dataset"], run["model"], folder.name)
    last = last_lines(log, 1)
    _, failed, reason = (last or ("",))[0].partition("error: ")
    if failed:
        return "failed", reason
    step = files.newest_step()
    if step is not None:
        return "unfinished", f"saved at step {step:,}"
    return "missing", "not begun"


def last_lines(path: Path, count: int) -> tuple[str, ...]:
    """The last lines of a log, without what would move a terminal's cursor; none if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LARGEST_TAIL))
            text = file.read(LARGEST_TAIL).decode(errors="replace")
    except OSError:
        return ()
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return tuple(CONTROLS.sub(lambda found: ascii(found[0])[1:-1], line) for line in lines[-count:])


def table_entries(about: Description, kind: str, results: Path) -> list[dict[str, Any]]:
    """What goes into a table of this kind: each run's file, or what stands in for a missing one.

    Empty where there is no file at all.
    """
    # Only here: the state of a run needs no pandas.
    from fpa.reporting.tables.tidy import missing_score

    if kind in OF_RUNS:
        return run_entries(about, results)
    if kind == "models":
        first = [run for run in about["runs"] if run["seed"] == about["config"]["seeds"][0]]
        paths = (results / run["folder"] / artifacts.COST for run in first)
        return [read_json(path) for path in paths if path.exists()]
    found, any_score = [], False
    for protocol in about["protocols"]:
        for run in about["runs"]:
            path = results / run["folder"] / score_file(protocol)
            if path.exists():
                found.append(read_json(path))
                any_score = True
            else:
                status, _ = status_of(run, results)
                status = "missing" if status == "ok" else status
                checkpoint = about["config"]["evaluation"]["checkpoint"]
                found.append(missing_score(run, protocol, checkpoint, status))
    return found if any_score else []


def run_entries(about: Description, results: Path) -> list[dict[str, Any]]:
    """Each run with the model that it starts from (`base`) and all that it left: its `summary`,
    `history`, `neighbours`, `cost`, and `scores` by protocol. What is not there is None, or no
    protocol's. Empty where no run left anything.
    """
    found, anything = [], False
    for run in about["runs"]:
        paths = {kind: results / path for kind, path in run_files(about, run).items()}
        loaded = {kind: load_file(path) for kind, path in paths.items()}
        anything |= any(part is not None for part in loaded.values())
        scores = {
            part["name"]: loaded[f"score-{part['name']}"]
            for part in about["protocols"]
            if loaded[f"score-{part['name']}"] is not None
        }
        parts = {kind: loaded.get(kind) for kind in ("summary", "history", "neighbours", "cost")}
        base = about["config"]["models"][run["model"]]["base"]
        found.append({**run, **parts, "scores": scores, "base": base})
    return found if anything else []
