"""A plugin that makes things go wrong: a job fails, or all processes die, before or after its work.

What is to happen stands in the file that $ACCIDENT names: a verb, "before" or "after", "fail" or "kill".
It happens once.
"""

import atexit
import os
import signal
import sys
from pathlib import Path


def happen(verb: str, moment: str) -> None:
    """Let this process have the accident that it is due, if any."""
    path = Path(os.environ.get("ACCIDENT", "none"))
    if not path.exists():
        return
    kind = path.read_text().split()
    if kind[:2] != [verb, moment]:
        return
    path.unlink()
    if kind[2] == "kill":
        # Of the whole group: Snakemake, this job and the others, as when a machine goes down.
        os.kill(0, signal.SIGKILL)
    os._exit(1)


if sys.orig_argv[1:3] == ["-m", "fpa"]:
    happen(sys.argv[1], "before")
    atexit.register(happen, sys.argv[1], "after")
