"""The default experiment by version 0.1 and by this one, one after the other.

    git worktree add ../first 98f51c3
    python benchmarks/default_experiment.py ../first --out benchmarks/results/default-experiment.json

Each version is cloned into a folder of its own. There Snakemake makes the table of scores, which is
what `make fid` does after the set-up, and then everything else. This version does so twice: as version
0.1 trained (benchmarks/first.yaml), and with its own default experiment, which trains less. What is
committed is measured. Half an hour on two cores, with nothing else running.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fpa.core import provenance  # noqa: E402
from fpa.core.files import write_json  # noqa: E402

TABLE = Path("results/tables/fid.csv")
CLONE = ("git", "-c", "advice.detachedHead=false", "clone", "-q")
STAGES = {"table of scores": [str(TABLE)], "everything else": ["all"]}
SAME_TRAINING = ["--configfile", "benchmarks/first.yaml"]


def measure(checkout: Path, cores: int, options: Sequence[str] = ()) -> dict[str, Any]:
    """Wall and CPU seconds of each stage of a version, and its scores by model.

    options: of Snakemake.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkout"
        subprocess.run([*CLONE, str(checkout), str(place)], check=True)
        # Only the clone's own code is found.
        environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        path = [str(Path(sys.executable).parent), environment["PATH"]]
        environment["PATH"] = os.pathsep.join(path)
        stages = {}
        for stage, targets in STAGES.items():
            words = [sys.executable, "-m", "snakemake", "--cores", str(cores), *targets, *options]
            started, before = time.perf_counter(), cpu_seconds()
            log = Path(folder) / "log"
            with log.open("wb") as file:
                done = subprocess.run(words, cwd=place, env=environment, stdout=file, stderr=file)
            if done.returncode:
                raise SystemExit(log.read_text(encoding="utf-8")[-3000:])
            wall, cpu = time.perf_counter() - started, cpu_seconds() - before
            stages[stage] = {"seconds": wall, "cpu_seconds": cpu}
            print(checkout, *options, stage, f"{wall:.0f} s, {cpu:.0f} s of CPU", flush=True)
        with (place / TABLE).open() as table:
            scores = {row["model"]: float(row["fid"]) for row in csv.DictReader(table)}
    return {"stages": stages, "scores": scores}


def cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, help="a checkout of version 0.1")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".json")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    found: dict[str, Any] = {
        "this": measure(ROOT, cores),
        "same_training": measure(ROOT, cores, SAME_TRAINING),
        "first": measure(options.first.resolve(), cores),
        "hardware": provenance.hardware(torch.device("cpu"), cores),
        "versions": provenance.versions(),
    }
    if options.out:
        write_json(options.out, found)


if __name__ == "__main__":
    main()
