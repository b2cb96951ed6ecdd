"""Rows of the suite: repeated times of one piece of work in our form and in a plain one."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch

Work = Callable[[], object]
T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    """How often work is repeated."""

    most: int = 9
    """Repeats, at most."""
    seconds: float = 6.0
    """After which no further round begins."""
    least: int = 2
    """Repeats, at least."""
    plain: int = 9
    """Repeats of the plain form, at most; where there is one alone, it does not warm up either."""


QUICK = Effort(most=1, seconds=0, least=1, plain=1)


@dataclass
class Row:
    """One line of the table: seconds of both forms, from the same rounds."""

    stage: str
    """painting, training, sampling, scoring, feeding or planning"""
    size: str
    """default or paper: the experiment that it is the size of; of parts, what they measure."""
    name: str
    """A model, a learning rule, or what is scored."""
    work: str
    device: str
    threads: int = 1
    ours: list[float] = field(default_factory=list)
    """Seconds, one of each repeat."""
    plain: list[float] = field(default_factory=list)
    plain_form: str = ""
    """What the plain form is; empty where there is none."""
    limit: float | None = None
    """Seconds of the convolutions and matrix products alone."""
    gflop: float | None = None
    """Of these."""

    @property
    def seconds(self) -> float:
        """The median of our form."""
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        """How many times as long the plain form takes, in medians."""
        return statistics.median(self.plain) / self.seconds if self.plain else None

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of our form; of fewer than four repeats, the extremes."""
        if len(self.ours) < 4:
            return min(self.ours), max(self.ours)
        low, _, high = statistics.quantiles(self.ours, n=4, method="inclusive")
        return low, high

    @property
    def times_the_limit(self) -> float | None:
        """How many times as long as the arithmetic alone our form takes."""
        return self.seconds / self.limit if self.limit else None

    def as_json(self) -> dict[str, Any]:
        """What was measured, and what follows from it."""
        return {
            **asdict(self),
            "seconds": self.seconds,
            "spread": list(self.spread),
            "ratio": self.ratio,
            "times_the_limit": self.times_the_limit,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Row":
        """The inverse."""
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def clock(device: torch.device) -> Callable[[], float]:
    """Seconds, read when the device has done all that was asked of it.

    On a CPU with one thread it is the process's own time, which other jobs disturb least.
    """
    if device.type == "cuda":

        def read() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return read
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def alternate(
    forms: Mapping[str, Callable[[], T]], effort: Effort, now: Callable[[], float]
) -> dict[str, list[T]]:
    """What each form returned, repeated in turns after a round that warms up; the first is ours."""
    ours = next(iter(forms))
    for name, form in forms.items():
        if name == ours or effort.plain > 1:
            form()
    found: dict[str, list[T]] = {name: [] for name in forms}
    started = now()
    for repeat in range(effort.most):
        for name, form in forms.items():
            if name == ours or repeat < effort.plain:
                found[name].append(form())
        if repeat + 1 >= effort.least and now() - started > effort.seconds:
            break
    return found


def rounds(forms: Sequence[Work], effort: Effort, now: Callable[[], float]) -> list[list[float]]:
    """Seconds of each form, in the way of `alternate`."""

    def timed(form: Work) -> float:
        before = now()
        form()
        return now() - before

    named = {str(place): partial(timed, form) for place, form in enumerate(forms)}
    return list(alternate(named, effort, now).values())
