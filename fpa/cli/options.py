"""How a verb and its options are put together; types that check a value where it is read."""

import argparse
import math
from collections.abc import Callable
from typing import Any, NamedTuple

Add = Callable[..., Any]
"""argparse's add_argument."""
Action = Callable[[argparse.Namespace], None]


class Verb(NamedTuple):
    """What a verb does, and what adds its options."""

    action: Action
    arguments: Callable[[Add], None]


IMPORTED: dict[str, Verb] = {}
"""The verbs of the groups that have been imported."""


def verb(arguments: Callable[[Add], None]) -> Callable[[Action], Action]:
    """Make a function the verb of its name; `arguments` adds what it takes. Its help is in fpa.cli."""

    def register(action: Action) -> Action:
        IMPORTED[action.__name__.replace("_", "-")] = Verb(action, arguments)
        return action

    return register


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


def seconds(text: str) -> float:
    """A time to measure, at most an hour."""
    return number(text, zero=True, most=3600)


def pause(text: str) -> float:
    """The seconds between two looks, at most a day."""
    return number(text, most=86400)


def share(text: str) -> float:
    """A number from 0 to 1."""
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


# Options that several verbs take --------------------------------------------------------------


def add_device(add: Add) -> None:
    """Where a verb computes."""
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
    add("--threads", type=whole(0, MOST_THREADS), default=0, help="CPU threads (0: all cores)")


def add_execution(add: Add) -> None:
    """How training steps are computed (fpa.runs.execution)."""
    add(
        "--precision",
        type=names("float32"),
        default=[],
        metavar="NAMES",
        help="what may be less exact, separated by commas: tf32_matmul, tf32_convolution, "
        "tf32_lstm, autocast_bfloat16 (default: float32, which is nothing)",
    )
    add(
        "--memory-format",
        choices=["contiguous", "channels_last"],
        default="contiguous",
        help="order in which convolutions get their maps",
    )
    add(
        "--compile",
        choices=["none", "graphs", "compile"],
        default="none",
        help="networks as CUDA graphs, or through torch's compiler; as they are where that fails",
    )


def add_trust(add: Add) -> None:
    """Classes that a file may name although they are not this project's."""
    add(
        "--trust-class",
        action="append",
        metavar="CLASS",
        help="import package.module:Class where a file names it (this project's own always are)",
    )


def add_checkpoint(add: Add, help: str = "of the EMA generator") -> None:
    """Which of a run's two checkpoints."""
    add("--checkpoint", choices=["best", "last"], default="last", help=help)


def add_seed(add: Add, help: str) -> None:
    """What randomness comes from."""
    add("--seed", type=SEED, default=0, help=help)


def add_run(add: Add) -> None:
    """The finished run that a verb takes its generator from."""
    add("run", metavar="DIR", help="folder of a finished run, or of an export")
    add_checkpoint(add)
    add_seed(add, "seed of the latents")
    add_trust(add)
