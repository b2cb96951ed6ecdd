"""A small training killed again and again: does it end with the undisturbed training's bytes?

    PYTHONPATH=. python benchmarks/soak.py

Trains the smoke experiment's FPA on a longer budget, once in peace and once under at least 100
random signals (SIGKILL, SIGTERM, SIGINT, SIGUSR1) at random moments, start-up included. Ends with
an error when the weights or the history differ. Some twenty minutes on one core.
"""

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from fpa.core.files import file_digest, write_json
from fpa.data.prepare import prepare
from fpa.data.sources import store_name
from fpa.experiment.plan import Plan

ROOT = Path(__file__).parent.parent
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
ARTIFACTS = ("weights.safetensors", "history.csv")
SAVED = 75
"""Exit code of a training that a signal stopped and that saved its state."""


def make_run(work: Path, steps: int):
    """The smoke experiment's first run on so many steps, and its prepared data set."""
    config = yaml.safe_load((ROOT / "experiments" / "smoke.yaml").read_text(encoding="utf-8"))
    batch = config["training"]["batch_size"]
    config["models"] = {"fpa": config["models"]["fpa"]}
    config["training"] |= {
        "kimg": steps * batch / 1000,
        "checkpoint_kimg": 20 * batch / 1000,
        "watch_kimg": 0,
    }
    config["evaluation"]["checkpoint"] = "last"
    experiment = Plan(config)
    dataset = experiment.datasets["digits"]
    store = work / store_name(dataset)
    prepare(dataset, store)
    return experiment.runs[0], store


def start(run, store: Path, folder: Path) -> subprocess.Popen:
    write_json(folder / "run.json", run.as_json())
    words = ["train", folder / "run.json", "--store", store, "--threads", "1", "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-m", "fpa", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FPA_PROGRESS": "lines"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def newest_step(folder: Path) -> int:
    return max(
        (int(p.stem.removeprefix("step-")) for p in (folder / "state").glob("step-*.pt")),
        default=-1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="signals, at least (100)")
    parser.add_argument("--steps", type=int, default=20_000, help="budget of the training")
    parser.add_argument("--seed", type=int, default=0, help="of signals and moments")
    parser.add_argument("--longest", type=float, default=8, help="seconds from start to signal")
    options = parser.parse_args()
    chosen = random.Random(options.seed)
    # (signal, how the process ended) -> how often
    ends: collections.Counter[tuple[str, int]] = collections.Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        run, store = make_run(work, options.steps)
        peace, disturbed = work / "peace", work / "disturbed"
        if start(run, store, peace).wait():
            sys.exit("the undisturbed training failed")
        for kill in range(1, options.kills + 1):
            process = start(run, store, disturbed)
            number = chosen.choice(SIGNALS)
            time.sleep(chosen.uniform(0, options.longest))
            if process.poll() is not None:
                sys.exit(f"ended by itself with {process.returncode} after {kill - 1} kills")
            asked = time.monotonic()
            process.send_signal(number)
            code = process.wait()
            if code == SAVED:
                slowest = max(slowest, time.monotonic() - asked)
            ends[number.name, code] += 1
            # 130 and minus the signal's number: it came before the training could save anything.
            if code not in (SAVED, -number, 130):
                sys.exit(f"{number.name} ended the training with {code}")
            if any((disturbed / artifact).exists() for artifact in ARTIFACTS):
                sys.exit("an unfinished run looks finished")
            print(
                f"{kill:4} {number.name:8} exit {code:4}  step {newest_step(disturbed)}", flush=True
            )
        if start(run, store, disturbed).wait():
            sys.exit("the disturbed training failed in its last attempt")
        same = {a: file_digest(peace / a) == file_digest(disturbed / a) for a in ARTIFACTS}
        litter = [p.name for p in disturbed.rglob("*.part")]
    print(f"\n{sum(ends.values())} signals:")
    for (name, code), times in sorted(ends.items()):
        print(f"  {name:8} exit {code:4}  {times:4} times")
    print(f"slowest exit with saved state: {slowest:.2f} s")
    print(f"half-written files left by kills: {len(litter)}")
    for artifact, equal in same.items():
        print(f"{artifact}: {'the same bytes' if equal else 'DIFFERENT'}")
    if not all(same.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
