"""Files of weights: read as numbers and put into the network that they are of, or refused."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from fpa.common.errors import UserError, one_line
from fpa.models.interface import Model
from fpa.training.run import Run, build_model


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name; UserError when it is missing or damaged."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, TypeError, KeyError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}") from error


def restored(run: Run, tensors: Mapping[str, Tensor], path: Path) -> Model:
    """A run's model with these weights of its EMA generator, ready to sample from.

    UserError unless names, shapes and types are the generator's. That is found out on torch's meta
    device, so that nothing larger than the file at `path` is allocated for settings that are made up.
    """
    name = run.model["class"]
    try:
        with torch.device("meta"):
            expected = build_model(run).ema.state_dict()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        # torch's own words for sizes that no tensor can have.
        raise UserError(
            f"{name} cannot be built with the settings of {path.parent}: {one_line(error)}"
        ) from error
    problem = _mismatch(expected, tensors)
    if problem:
        raise UserError(f"{path} does not fit this version of {name}: {problem}")
    model = build_model(run)
    model.ema.load_state_dict(dict(tensors))
    model.ema.eval()
    return model


def _mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """The first difference between what a network has and what is there; empty if none."""
    for name in [*expected, *found]:
        if name not in found:
            return f"there is no {name}"
        if name not in expected:
            return f"it has no {name}"
        (one, two) = ((tuple(t.shape), t.dtype) for t in (expected[name], found[name]))
        if one != two:
            return f"{name} is {two[1]} {two[0]}, expected {one[1]} {one[0]}"
    return ""
