"""The state of an experiment's runs as text for a terminal."""

import math
from collections import Counter
from collections.abc import Sequence

from fpa.reporting.status.reading import RunState, duration

UNSHOWN = ("step", "kimg")


def to_text(experiment: str, states: Sequence[RunState], width: int) -> str:
    """One line for each run, and below it what there is to say; no line is wider than `width`."""
    lines = [summary(experiment, states), ""]
    names = [f"{run.label} on {run.dataset}, seed {run.seed}" for run in states]
    longest = max(map(len, names), default=0)
    for name, run in zip(names, states, strict=True):
        lines.append(f"{name:<{longest}}  {run.state:<8}  {'  '.join(facts(run))}".rstrip())
        details = [*([run.reason] if run.reason else []), *numbers(run)]
        lines += [f"    {detail}" for detail in details]
        lines += [f"    | {line}" for line in run.log_lines]
    return "\n".join(_cut(line, width) for line in lines)


def summary(experiment: str, states: Sequence[RunState]) -> str:
    """How many runs are in which state."""
    counts = Counter(run.state for run in states)
    return f"{experiment}: " + ", ".join(f"{count} {state}" for state, count in counts.items())


def facts(run: RunState) -> list[str]:
    """Step, speed, time left, and where it runs."""
    found = []
    if run.step is not None and run.steps:
        found.append(f"step {run.step:,} of {run.steps:,} ({100 * run.step // run.steps}%)")
    if run.state == "training":
        if run.images_per_second is not None:
            found.append(f"{run.images_per_second:,.3g} images/s")
        if run.seconds_left is not None:
            found.append(f"{duration(run.seconds_left)} left")
    if run.host and run.state not in ("trained", "waiting"):
        job = f"Slurm job {run.slurm_job} " if run.slurm_job else ""
        found.append(f"{job}on {run.host}")
    return found


def numbers(run: RunState) -> list[str]:
    """The newest losses and the newest quick score, a line each."""
    found = []
    shown = {k: v for k, v in run.losses.items() if k not in UNSHOWN}
    if shown and run.state != "trained":
        found.append(f"{_values(shown)} (step {_whole(run.losses.get('step'))})")
    score = {k: v for k, v in run.score.items() if k in ("fid", "precision", "recall")}
    best = ""
    if run.best.get("kimg") is not None:
        best = f"best FID {_number(run.best.get('fid'))} at {_number(run.best['kimg'])} kimg"
    if score:
        at = f"quick score at {_number(run.score.get('kimg'))} kimg: {_values(score)}"
        found.append(f"{at}; {best}" if best else at)
    elif best:
        found.append(best)
    return found


def _values(found: dict[str, float | None]) -> str:
    names = {"fid": "FID"}
    return ", ".join(f"{names.get(name, name)} {_number(v)}" for name, v in found.items())


def _number(value: float | None) -> str:
    return "NaN" if value is None or math.isnan(value) else f"{value:.3g}"


def _whole(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: max(width - 1, 0)]}…"
