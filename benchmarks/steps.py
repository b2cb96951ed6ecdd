"""Training steps of every model of an experiment: time, and how many times that of plain forms.

    python benchmarks/steps.py                                     the default experiment: minutes
    python benchmarks/steps.py experiments/paper.yaml --steps 8    the paper's size: an hour

Two copies of each model take steps in turns, one of them with the plain forms of plain_forms.py in
place of the faster ones. Prints the median time of a step with and without gradient penalty (R1),
the quartiles of the latter, and both ratios. On a CPU the time is the process's own on one thread,
which other jobs disturb least. Images are random, so no data set is needed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from plain_forms import plain_forms

from fpa.common import provenance
from fpa.common.files import write_json
from fpa.experiment.config import read_config
from fpa.experiment.plan import Experiment
from fpa.training.run import Run, build_model

WARM_UP = 2
PENALTIES = ("gradient_penalty", "r1")


def milliseconds(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """The time that some work takes, and what it returns."""
    if device.type == "cpu":
        clock, wait = time.process_time, lambda: None
    else:
        clock, wait = time.perf_counter, lambda: torch.cuda.synchronize(device)
    wait()
    start = clock()
    made = work()
    wait()
    return 1000 * (clock() - start), made


def measure(run: Run, device: torch.device, steps: int) -> dict[str, Any]:
    """Times of `steps` steps, in both forms."""
    shape = (run.training["batch_size"], run.dataset["channels"], *2 * [run.dataset["resolution"]])
    models = {}
    for form in ("fast", "plain"):
        torch.manual_seed(run.seed)
        models[form] = build_model(run)
        models[form].to(device)
    real = torch.rand(shape, device=device)
    times: dict[str, list[float]] = {}
    for step in range(WARM_UP + steps):
        for form, model in models.items():
            with plain_forms() if form == "plain" else nullcontext():
                took, losses = milliseconds(lambda m=model: m.step(real.clone()), device)
            if step >= WARM_UP:
                penalised = any(name in losses for name in PENALTIES)
                times.setdefault(f"{form} {'penalty' if penalised else 'step'}", []).append(took)
    row: dict[str, Any] = {name: statistics.median(values) for name, values in times.items()}
    if len(times["fast step"]) > 1:
        low, _, high = statistics.quantiles(times["fast step"], n=4)
        row["quartiles"] = [low, high]
    for kind in ("step", "penalty"):
        if f"fast {kind}" in row:
            row[f"{kind} ratio"] = row[f"plain {kind}"] / row[f"fast {kind}"]
    return row


def line(name: str, row: dict[str, Any]) -> str:
    """A row of the table."""

    def cell(key: str, form: str) -> str:
        return format(row[key], form) if key in row else "-".rjust(int(form.split(".")[0]))

    low, high = row.get("quartiles", (float("nan"),) * 2)
    return (
        f"{name:16}{cell('fast step', '9.1f')}  {low:8.1f} to {high:<8.1f}{cell('step ratio', '6.2f')}"
        f"{cell('fast penalty', '12.1f')}{cell('penalty ratio', '8.2f')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, nargs="?", default=Path("config.yaml"))
    parser.add_argument("--models", nargs="*", help="only these")
    parser.add_argument("--steps", type=int, default=40, help="of each form (40)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a JSON file with all numbers")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    runs: dict[str, Run] = {}
    for run in Experiment(read_config(options.config)).runs:
        runs.setdefault(run.model["name"], run)
    rows = {}
    print("model            ms/step  quartiles           ratio  ms/penalty   ratio")
    for name, run in runs.items():
        if not options.models or name in options.models:
            rows[name] = measure(run, device, options.steps)
            print(line(name, rows[name]), flush=True)
    about = {"hardware": provenance.hardware(device, 1), "versions": provenance.versions()}
    for part in about.values():
        print(", ".join(f"{key} {value}" for key, value in part.items()))
    if options.output:
        write_json(options.output, {"config": str(options.config), "models": rows, **about})


if __name__ == "__main__":
    sys.exit(main())
