"""What the report's player shows of each painter: the painter itself, or saved painting traces."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import safetensors

from fpa.core.errors import UserError
from fpa.core.files import load_arrays
from fpa.evaluation.run_artifacts import ARTIFACTS
from fpa.evaluation.trace import Trace, to_uint8
from fpa.experiment.experiment import Experiment
from fpa.reporting.figures import Input, Spec, played_inputs
from fpa.runs.run import Json

MOST_WEIGHTS = 12_000_000
"""Bytes of weights that one page holds, at most: 16 MB as text."""


class Player(NamedTuple):
    """One painter in the page's list."""

    entry: Json
    """As JSON: name and seed; then a packed trace, or a painter's description as `live` and the
    place of its `weights` in the page."""
    weights: str | None
    """The painter's file in base64, where the page runs it."""
    note: str | None
    """Why the page does not run it, if there is a reason."""


def live_files(experiment: Experiment, specs: Mapping[str, Spec]) -> dict[Input, str]:
    """Where the painter behind each played trace lies, below the results folder."""
    evaluation, count = experiment.config.evaluation, experiment.config.figures.paintings
    file = ARTIFACTS["live"].file(evaluation.checkpoint, count, seed=evaluation.seed)
    return {
        part: str(PurePosixPath(part.path).with_name(file))
        for part in played_inputs(specs.values())
    }


def played_files(experiment: Experiment, specs: Mapping[str, Spec]) -> list[str]:
    """The traces and painters that the page shows, below the results folder."""
    return sorted(
        {path for part, live in live_files(experiment, specs).items() for path in (part.path, live)}
    )


def players(experiment: Experiment, specs: Mapping[str, Spec], results: Path) -> list[Player]:
    """One player for each painter that left its weights or its traces, in the figures' order.

    Where weights would make the page too large, the painter's traces are shown.
    """
    found: list[Player] = []
    left = MOST_WEIGHTS
    for part, live in live_files(experiment, specs).items():
        title = {"name": f"{experiment.labels[part.model]} on {part.dataset}", "seed": part.seed}
        described, weights = read_live(results / live)
        note = described["left_out"]
        if weights and len(weights) > left:
            note = (
                f"the page holds {MOST_WEIGHTS / 1e6:.0f} MB of weights, and this one is too much"
            )
        if weights and not note:
            left -= len(weights)
            text = base64.b64encode(weights).decode()
            place = f"weights-{len(found)}"
            found.append(Player({**title, "live": described, "weights": place}, text, None))
        elif (results / part.path).exists():
            with load_arrays(results / part.path) as trace:
                packed = pack(dict(trace))
            found.append(Player({**title, **packed}, None, note))
    return found


def read_live(path: Path) -> tuple[Json, bytes]:
    """A painter's description and its file; no bytes where it has no weights or is not there."""
    if not path.exists():
        return {"left_out": None}, b""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            described = json.loads(file.metadata()["about"])
            found = list(file.keys())
    except (safetensors.SafetensorError, OSError, TypeError, LookupError, ValueError) as error:
        raise UserError(
            f"{path} is not a painter as `python -m fpa live` writes it ({error}); delete it and "
            "run again"
        ) from error
    return described, path.read_bytes() if found else b""


def pack(trace: Trace) -> Json:
    """A painting trace as JSON: sizes, and arrays as base64 of little-endian numbers.

    left and right (N, C, T, D) float32, from which the page computes every picture; values as
    int8 of their largest magnitude, for their heat strip; rates (N, T) float32; initial (C, D, D)
    float32 if there is one; refined (N, C, D, D) uint8 if a U-Net changed the painting.
    """

    def base(array: np.ndarray, kind: str) -> str:
        return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()

    paintings, channels, steps, size = trace["right"].shape
    values = trace["values"]
    largest = np.maximum(np.abs(values).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    refined = not np.array_equal(trace["image"], trace["painted"])
    return {
        "paintings": paintings,
        "channels": channels,
        "steps": steps,
        "size": size,
        "tanh": bool(trace["tanh"]),
        "left": base(trace["left"], "<f4"),
        "right": base(trace["right"], "<f4"),
        "values": base(np.round(127 * values / largest), "<i1"),
        "rates": base(trace["rates"].mean(axis=(1, 3)), "<f4"),
        "initial": base(trace["initial"], "<f4") if "initial" in trace else None,
        "refined": base(to_uint8(trace["image"]), "<u1") if refined else None,
    }
