"""How a verb and its options are put together; types that check a value where it is read."""

import argparse
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from fpa.cli import kinds
from fpa.core.errors import UserError

Action = Callable[[argparse.Namespace], None]
Option = Callable[[Callable[..., Any]], object]
"""Adds itself by argparse's add_argument."""


IMPORTED: dict[str, tuple[Action, tuple[Option, ...]]] = {}
"""The verbs of the groups that have been imported: what each does, and what it takes."""


def verb(*options: Option) -> Callable[[Action], Action]:
    """Make a function the verb of its name, with these options. Its help is in fpa.cli."""

    def register(action: Action) -> Action:
        IMPORTED[action.__name__.replace("_", "-")] = (action, options)
        return action

    return register


def refuse(options: argparse.Namespace, why: str, *names: str) -> None:
    """UserError for options that were given and that nothing would come of."""
    for name in names:
        if getattr(options, name.lstrip("-").replace("-", "_")) not in (None, False, []):
            raise UserError(f"{name} {why}; leave it out")


# Types of values ------------------------------------------------------------------------------


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least` to `most`."""
    expected = f"at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {expected}, found {text}")
        return number

    return read


def number(text: str, zero: bool = False, most: float = math.inf) -> float:
    """A finite number above 0, or from 0; at most `most`."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or not 0 <= found <= most or (found == 0 and not zero):
        expected = "of at least 0" if zero else "above 0"
        expected += f" and at most {most:g}" if most < math.inf else ""
        raise argparse.ArgumentTypeError(f"expected a number {expected}, found {text}")
    return found


seconds = partial(number, zero=True, most=3600)
"""A time to measure, at most an hour."""
pause = partial(number, most=86400)
"""The seconds between two looks, at most a day."""


def share(text: str) -> float:
    found = number(text, zero=True)
    if found > 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text}")
    return found


def names(nothing: str) -> Callable[[str], list[str]]:
    """Names separated by commas; `nothing` is the name of none."""
    return lambda text: [name for name in text.split(",") if name != nothing]


COUNT = whole(1)
FEW = 10_000
"""Of what is kept in memory, at most."""
MOST_THREADS = 1024
"""More than a system gives end a process without a word."""
SEED = whole(0, 2**31 - 1)
"""As in a configuration."""


# Options --------------------------------------------------------------------------------------


def option(name: str, help: str, **settings: Any) -> Option:
    """An option or argument, with argparse's settings."""
    return lambda add: add(name, help=help, **settings)


def folder(name: str, help: str, **settings: Any) -> Option:
    return option(name, help, metavar="DIR", **settings)


def reads(name: str, kind: kinds.Kind, help: str, **settings: Any) -> Option:
    """A file of this kind that is read."""
    return option(name, help, type=kinds.existing(kind), metavar="FILE", **settings)


def writes(kind: kinds.Kind, help: str, required: bool = True, metavar: str = "FILE") -> Option:
    """The file of this kind that a verb writes."""
    return option("--out", help, type=kinds.output(kind), metavar=metavar, required=required)


def checkpoint(help: str = "of the EMA generator", default: str | None = "last") -> Option:
    return option("--checkpoint", help, choices=["best", "last"], default=default)


def seed(help: str) -> Option:
    return option("--seed", help, type=SEED, default=0)


CONFIG = option("--config", "the experiment (config.yaml)", default="config.yaml")
RESULTS = folder("results", "the experiment's results folder")
RESOLVED = option(
    "run",
    "the resolved run, from the verb plan with --write",
    type=kinds.existing(kinds.RUN),
    metavar="RUN.JSON",
)
TRUST = option(
    "--trust-class",
    "import package.module:Class where a file names it (this project's own always are)",
    action="append",
    metavar="CLASS",
)
WEIGHTS = folder(
    "--weights", "folder with the network's weights, if you have them", type=kinds.there
)

# What a finished run's generator is taken from.
GENERATOR = (
    folder("run", "folder of a finished run, or of an export"),
    checkpoint(),
    seed("seed of the latents"),
    TRUST,
)
# Where a verb computes.
DEVICE = (
    option("--device", "auto: a GPU if any", choices=["auto", "cpu", "cuda"], default="auto"),
    option("--threads", "CPU threads (0: all cores)", type=whole(0, MOST_THREADS), default=0),
)
# How training steps are computed (fpa.runs.execution).
EXECUTION = (
    option(
        "--precision",
        "what may be less exact, separated by commas: tf32_matmul, tf32_convolution, "
        "tf32_lstm, autocast_bfloat16 (default: float32, which is nothing)",
        type=names("float32"),
        default=[],
        metavar="NAMES",
    ),
    option(
        "--memory-format",
        "order in which convolutions get their maps",
        choices=["contiguous", "channels_last"],
        default="contiguous",
    ),
    option(
        "--compile",
        "networks as CUDA graphs, or through torch's compiler; as they are where that fails",
        choices=["none", "graphs", "compile"],
        default="none",
    ),
)
