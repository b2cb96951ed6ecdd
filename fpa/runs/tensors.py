"""Files of weights: read as numbers and put into the network that they are of, or refused."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from fpa.core.errors import UserError, one_line
from fpa.models.interface import Model
from fpa.models.loading import shapes_only
from fpa.runs.run import Run, build_model


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
    try:
        with shapes_only():
            expected = build_model(run).ema.state_dict()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        # torch's own words for sizes that no tensor can have.
        raise UserError(
            f"{run.model.class_} cannot be built with the settings of {path.parent}: {one_line(error)}"
        ) from error
    _check(expected, tensors, path, run)
    model = build_model(run)
    load(model.ema, tensors, path, run)
    model.ema.eval()
    return model


def load(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, run: Run) -> None:
    """Put a run's weights into one of its networks; UserError unless they are that network's."""
    _check(network.state_dict(), tensors, path, run)
    network.load_state_dict(dict(tensors))


def _check(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path, run: Run
) -> None:
    problem = _mismatch(expected, found)
    if problem:
        raise UserError(f"{path} does not fit this version of {run.model.class_}: {problem}")


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
