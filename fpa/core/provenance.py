"""What made an artifact: the versions of the code, its stages and libraries, and the machine."""

import functools
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import fpa
from fpa.core.lazy import torch

STAGES = {"prepare": 1, "train": 2, "sample": 1, "features": 1, "score": 3}
"""Versions of what each stage computes.

A stage's number is raised when the same inputs and settings would give another output than before,
beyond rounding. What depends on the stage is then made again, and tables say so where they mix
versions. `tests/unit/test_golden.py` fails when an output changes and its number does not.
"""
LIBRARIES = (
    *("torch", "torchvision", "numpy", "pillow", "clean-fid", "scipy", "pandas"),
    *("scikit-learn", "lmdb"),
)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of this code (with its commit, where it is a checkout), Python and the libraries."""
    found = {"fpa": fpa.__version__, "python": platform.python_version()}
    commit = _commit()
    if commit:
        found["commit"] = commit
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def hardware(device: Any, threads: int) -> dict[str, Any]:
    """The machine that a training ran on."""
    described = {"device": str(device), "cpu_cores": os.cpu_count(), "threads": threads}
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line for line in lines if line.startswith("model name"))
        described["cpu"] = model.partition(":")[2].strip()
    except (OSError, StopIteration):
        described["cpu"] = platform.processor() or platform.machine()
    # Some forms of convolutions are chosen by it (fpa/models/convolutions.py).
    described["cpu_instructions"] = torch.backends.cpu.get_cpu_capability()
    return described


def processor(hardware: Mapping[str, Any], unknown: str = "") -> str:
    """What did the work on a machine as `hardware` describes it: the GPU, else the CPU."""
    return hardware.get("gpu") or hardware.get("cpu") or unknown
