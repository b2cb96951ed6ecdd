"""The environment that the workflow's jobs inherit."""

import os
import signal
import sys
from pathlib import Path


def prepare_environment(root: Path) -> None:
    """Let jobs run this interpreter and the code in `root`, activated or not, installed or not.

    Jobs share the terminal, so their progress comes in whole lines instead of live bars.
    """
    _prepend("PATH", str(Path(sys.executable).parent))
    _prepend("PYTHONPATH", str(root))
    os.environ.setdefault("FPA_PROGRESS", "lines")
    # A scheduler's warning goes to a whole job: the training answers it, and Snakemake must not
    # die of it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _prepend(variable: str, value: str) -> None:
    parts = os.environ.get(variable, "").split(os.pathsep)
    os.environ[variable] = os.pathsep.join([value, *(p for p in parts if p and p != value)])
