"""Times of every stage, in our forms and in plain ones, and the arithmetic limit of training.

    python benchmarks                          everything: some ten minutes on two cores
    python benchmarks --only training feeding  some stages
    python benchmarks --quick                  tiny sizes, one repeat: does it run?

Measured on the CPU, and on a GPU where there is one: on the CPU with as many threads as the
experiment trains with. Prints a table; --out writes all times as JSON.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Before torch is imported: its profiler writes lines on how it starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import feeding  # noqa: E402
import painting  # noqa: E402
import scoring  # noqa: E402
import torch  # noqa: E402
import training_steps  # noqa: E402
from measuring import QUICK, Effort, Row  # noqa: E402

from fpa.core import provenance  # noqa: E402
from fpa.core.files import write_json  # noqa: E402
from fpa.evaluation.scores import Settings  # noqa: E402
from fpa.experiment.config import read_config  # noqa: E402
from fpa.experiment.plan import Plan  # noqa: E402
from fpa.runs.devices import keep_freed_memory  # noqa: E402
from fpa.runs.run import Run  # noqa: E402

STAGES = ("painting", "training", "sampling", "scoring", "feeding", "planning")


@dataclass(frozen=True)
class Scope:
    """What is measured, and how often."""

    configs: dict[str, Path]
    """Experiments whose models are trained, by size."""
    effort: dict[str, Effort]
    """Of a training step and of a sample, by size."""
    short: Effort
    """Of what takes milliseconds."""
    long: Effort
    """Of what takes seconds."""
    painted: tuple[int, int, int, int]
    """B, C, T, D of the learning rules."""
    growth: list[tuple[int, int]]
    """T, D"""
    scored: list[tuple[int, int]]
    """Features and images of Fréchet distances."""
    images: int
    """That features are computed of."""
    extractor: str
    sampled: int
    square: int
    """Size of the matrix product whose rate growth is compared with."""
    models: list[str] | None = None
    """That are trained; None for all."""
    threads: int | None = None
    """On a CPU; None for as many as each experiment trains with."""


FULL = Scope(
    configs={"default": ROOT / "config.yaml", "paper": ROOT / "experiments" / "paper.yaml"},
    effort={"default": Effort(9, 4), "paper": Effort(3, 12, plain=1)},
    short=Effort(9, 2),
    long=Effort(3, 10, least=1),
    painted=(20, 3, 64, 64),
    growth=[(T, 64) for T in (64, 128, 256, 512, 1024)] + [(64, D) for D in (128, 256, 512)],
    scored=[(1280, 2000), (2048, 5000)],
    images=256,
    extractor="efficientnet_lite0-96px",
    sampled=256,
    square=1024,
)
TINY = Scope(
    configs={"smoke": ROOT / "experiments" / "smoke.yaml"},
    effort={"smoke": QUICK},
    short=QUICK,
    long=QUICK,
    painted=(1, 1, 4, 8),
    growth=[(4, 8), (8, 8)],
    scored=[(4, 40)],
    images=4,
    extractor="efficientnet_lite0-32px",
    sampled=4,
    square=16,
)


def models(config: Path) -> tuple[dict[str, Run], int]:
    """One run of each model of an experiment, and the threads that it trains with (0: all)."""
    experiment = Plan(read_config(config))
    found: dict[str, Run] = {}
    for run in experiment.runs:
        found.setdefault(run.model.name, run)
    return found, experiment.config.runtime.train_threads or 0


def measure(plan: Scope, stages: list[str], device: torch.device) -> Iterator[Row]:
    """Every row but planning's, which needs no device."""
    cores = plan.threads or len(os.sched_getaffinity(0))
    if "painting" in stages:
        torch.set_num_threads(cores)
        yield from painting.rules("paper", *plan.painted, device, plan.short)
    for size, config in plan.configs.items():
        runs, threads = models(config)
        torch.set_num_threads(plan.threads or threads or cores)
        effort = plan.effort[size]
        if "painting" in stages:
            yield painting.painter(size, runs["fpa"], device, plan.short)
        for run in runs.values():
            if "training" in stages and run.model.name in (plan.models or runs):
                yield from training_steps.rows(size, run, device, effort)
        if "sampling" in stages:
            yield scoring.sample(size, runs["fpa"], plan.sampled, device, plan.long)
    torch.set_num_threads(cores)
    pictures = feeding.photographs(max(plan.images, 40), 64)
    if "scoring" in stages:
        yield scoring.extraction(pictures[: plan.images], plan.extractor, device, plan.long)
        if device.type == "cpu":
            for d, n in plan.scored:
                yield scoring.moments(d, n, plan.long)
            settings = Settings(scoring.METRICS, kid_subset_size=min(1000, plan.scored[0][1]))
            yield scoring.score(*plan.scored[0], settings, plan.long)
    if "feeding" in stages:
        yield feeding.feed("paper", pictures, 20, device, plan.short)


def line(row: Row) -> str:
    """A row of the printed table."""

    def cell(value: float | None, form: str, width: int) -> str:
        return "-".rjust(width) if value is None else format(value, f"{width}{form}")

    low, high = row.spread
    return (
        f"{row.stage:9} {row.size:14} {row.name:28} {row.work:24} {row.device:6}"
        f"{1000 * row.seconds:11.1f} {1000 * low:10.1f} to {1000 * high:<10.1f}"
        f"{len(row.ours):3}{cell(row.ratio, '.2f', 8)}{cell(row.times_the_limit, '.2f', 8)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(*STAGES, "growth"), metavar="STAGE")
    parser.add_argument("--sizes", nargs="+", choices=FULL.configs, help="only these experiments'")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="train only these")
    parser.add_argument("--threads", type=int, help="in place of those that experiments train with")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one repeat")
    parser.add_argument("--device", choices=("all", "cpu", "cuda"), default="all")
    parser.add_argument("--out", type=Path, metavar="FILE", help="all times, .json")
    options = parser.parse_args()
    plan = replace(TINY if options.quick else FULL, models=options.models, threads=options.threads)
    if options.sizes:
        chosen = {size: path for size, path in plan.configs.items() if size in options.sizes}
        plan = replace(plan, configs=chosen)
    document = suite(plan, options.only or [*STAGES, "growth"], options.device)
    if options.out:
        write_json(options.out, document)


def devices(wanted: str) -> list[torch.device]:
    """Those of that kind which are there."""
    found = [torch.device("cpu")]
    if torch.cuda.is_available():
        found.append(torch.device("cuda", 0))
    return [device for device in found if wanted in ("all", device.type)]


def suite(plan: Scope, stages: list[str], wanted: str = "cpu") -> dict[str, Any]:
    """Everything that is measured, printed row by row, as JSON."""
    keep_freed_memory()
    found: list[Row] = []
    grown: list[dict[str, Any]] = []
    rates: dict[str, float] = {}
    print(f"{'':57}{'':24}{'':7}  median ms   quartiles{'':15}n   plain   limit", flush=True)
    for device in devices(wanted):
        for row in measure(plan, stages, device):
            found.append(row)
            print(line(row), flush=True)
        if "growth" in stages:
            torch.set_num_threads(1)
            effort = replace(plan.short, most=min(plan.short.most, 3), least=1)
            rates[str(device)] = painting.rate(device, plan.square, effort)
            grown += painting.growth(plan.growth, device, effort)
    if "planning" in stages:
        for row in feeding.planning(plan.configs, plan.long):
            found.append(row)
            print(line(row), flush=True)
    about = {
        "hardware": [provenance.hardware(d, torch.get_num_threads()) for d in devices(wanted)],
        "versions": provenance.versions(),
    }
    for part in (*about["hardware"], about["versions"]):
        print(", ".join(f"{key} {value}" for key, value in part.items()))
    return {"rows": [row.as_json() for row in found], "growth": grown, "rates": rates, **about}


if __name__ == "__main__":
    sys.exit(main())
