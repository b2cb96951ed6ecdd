"""Training steps of the paper's size in this version and in version 0.1, one after the other.

    git worktree add ../first 98f51c3
    python benchmarks/versions.py ../first --out benchmarks/results/versions.json

Each model of experiments/paper.yaml takes steps on random images in a process of its own, with two
threads: one to warm up, two without penalties, one with all of them. Ten minutes on two cores, with
nothing else running.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("fpa", "fpa_unet", "lightgan", "stylegan2_ada")
FIRST = {"stylegan2_ada": {"preset": "auto"}}
"""Settings of the networks that version 0.1 had."""
THREADS = 2


def model_of(root: Path, name: str) -> tuple[Any, Any]:
    """A model of the paper's experiment, and its run, by the code that was found in `root`."""
    try:
        from fpa.experiment.config import read_config
        from fpa.experiment.plan import Plan
        from fpa.runs import devices
        from fpa.runs.run import build_model

        # As the command line's verbs do.
        devices.keep_freed_memory()
    except ImportError:  # version 0.1
        from fpa.config import read_config  # type: ignore[import-not-found, no-redef]
        from fpa.plan import Experiment as Plan  # type: ignore[import-not-found, no-redef]
        from fpa.runs import build_model  # type: ignore[import-not-found, no-redef]
    config = read_config(root / "experiments" / "paper.yaml")
    if root == ROOT and name in FIRST:
        config["models"][name]["settings"] = FIRST[name]
    run = next(run for run in Plan(config).runs if as_json(run)["model"]["name"] == name)
    return build_model(run), run


def as_json(run: Any) -> dict[str, Any]:
    """A run of either version."""
    return run.as_json() if hasattr(run, "as_json") else run.config


def measure(root: Path, name: str) -> dict[str, Any]:
    """Wall seconds of two steps without penalties and of one with all, and how many share one."""
    sys.path.insert(0, str(root))
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model, run = model_of(root, name)
    model.to(torch.device("cpu"))
    about = as_json(run)
    size = about["dataset"]["resolution"]
    real = torch.rand(about["training"]["batch_size"], 3, size, size)
    settings = next(
        part
        for part in (getattr(model, place, None) for place in ("settings", "recipe"))
        if hasattr(part, "penalty_every") or hasattr(part, "r1_every")
    )
    if hasattr(settings, "penalty_every"):
        cycle = penalised = settings.penalty_every
    else:
        cycle, penalised = settings.r1_every, settings.r1_every * settings.path_length_every

    def step(number: int) -> float:
        model.steps = number
        started = time.perf_counter()
        model.step(real.clone())
        return time.perf_counter() - started

    step(penalised + 1)
    plain = [step(penalised + 1) for _ in range(2)]
    return {"model": name, "steps": plain, "penalised": step(penalised), "cycle": cycle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, help="a checkout of version 0.1")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--out", type=Path, metavar="FILE", help=".json")
    parser.add_argument("--measure", choices=MODELS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.first.resolve(), options.measure)))
        return
    rows = []
    for name in options.models:
        row: dict[str, Any] = {"model": name}
        for version, root in (("first", options.first), ("this", ROOT)):
            words = [sys.executable, __file__, str(root), "--measure", name]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            said = done.stdout.splitlines()[-1]
            row[version] = json.loads(said)
            print(version, said, flush=True)
        rows.append(row)
    if options.out:
        sys.path.insert(0, str(ROOT))
        import torch

        from fpa.core import provenance
        from fpa.core.files import write_json

        about = {
            "hardware": provenance.hardware(torch.device("cpu"), THREADS),
            "versions": provenance.versions(),
        }
        write_json(options.out, {"rows": rows, **about})


if __name__ == "__main__":
    main()
