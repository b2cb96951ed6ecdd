"""Shows the state of an experiment's runs, once or again and again."""

import json
import shutil
import sys
import time
from pathlib import Path

from fpa.core.files import write_text
from fpa.reporting.description import read_description
from fpa.reporting.status.reading import RunState, run_states
from fpa.reporting.status.text import to_text

CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""Clears a terminal."""


def show(
    results: Path, as_json: bool = False, page: Path | None = None, every: float | None = None
) -> None:
    """Print the state of all runs, as text or JSON, or write it as a page.

    With `every`, again after so many seconds, until every run is trained or Ctrl-C is pressed.
    """
    while True:
        # Read each time: a changed configuration may have planned other runs.
        about = read_description(results)
        states = run_states(about, results)
        done = every is None or all(run.state == "trained" for run in states)
        if page:
            _write_page(page, about["experiment"], states, results, None if done else every)
        elif as_json:
            _print_json(about["experiment"], states, following=every is not None)
        else:
            _print_text(about["experiment"], states, following=every is not None)
        if every is None or done:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            return


def _write_page(
    path: Path, experiment: str, states: list[RunState], results: Path, every: float | None
) -> None:
    # Only here: text needs no image library.
    from fpa.reporting.status.page import to_page

    write_text(path, to_page(experiment, states, results, every))


def _print_text(experiment: str, states: list[RunState], following: bool) -> None:
    live = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if live else 10_000
    text = to_text(experiment, states, width)
    if following:
        text = f"{CLEAR if live else ''}{time.strftime('%H:%M:%S')} {text}"
    print(text, flush=True)


def _print_json(experiment: str, states: list[RunState], following: bool) -> None:
    """One object; one a line when it is followed."""
    found = {"experiment": experiment, "runs": [run.as_json() for run in states]}
    print(json.dumps(found, indent=None if following else 2, allow_nan=False), flush=True)
