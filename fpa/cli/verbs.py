"""How a verb and its arguments are put together."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Add = Callable[..., Any]
"""argparse's add_argument."""
Action = Callable[[argparse.Namespace], None]


@dataclass(frozen=True)
class Verb:
    """One verb of the command line."""

    name: str
    help: str
    action: Action
    arguments: Callable[[Add], None]


VERBS: dict[str, Verb] = {}
"""All verbs, in the order of the help text."""


def verb(arguments: Callable[[Add], None]) -> Callable[[Action], Action]:
    """Make a function a verb: its docstring is the help, `arguments` adds what it takes."""

    def register(action: Action) -> Action:
        name = action.__name__.replace("_", "-")
        VERBS[name] = Verb(name, action.__doc__ or "", action, arguments)
        return action

    return register


def add_device(add: Add) -> None:
    """Where a verb computes."""
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: a GPU if any")
    add("--threads", type=int, default=0, help="CPU threads (0: all cores)")


def listed(nothing: str) -> Callable[[str], list[str]]:
    """How an option reads names that are separated by commas; `nothing` is the name of none."""
    return lambda text: [name for name in text.split(",") if name != nothing]


def add_execution(add: Add) -> None:
    """How training steps are computed (fpa.runs.execution)."""
    add(
        "--precision",
        type=listed("float32"),
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


def add_run(add: Add) -> None:
    """The finished run that a verb takes its generator from."""
    add("run", metavar="DIR", help="folder of a finished run, or of an export")
    add("--checkpoint", choices=["best", "last"], default="last", help="of the EMA generator")
    add("--seed", type=int, default=0, help="seed of the latents")
    add_trust(add)
