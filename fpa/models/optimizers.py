"""An optimizer's state as tensors by name, to be kept beside the weights of its network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def _names(optimizer: torch.optim.Optimizer, network: nn.Module) -> list[str]:
    """The network's names of the parameters that the optimizer trains, in its order."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """State of an optimizer of a network's parameters, as "exp_avg.NAME", ...

    Empty before its first step.
    """
    state = optimizer.state_dict()["state"]
    names = _names(optimizer, network)
    return {
        f"{kind}.{names[number]}": value
        for number, values in state.items()
        for kind, value in values.items()
    }


def load(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """The inverse; learning rate and the like stay the optimizer's own.

    What is there of parameters that it does not train is left out.
    """
    numbers = {name: number for number, name in enumerate(_names(optimizer, network))}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        if name in numbers:
            state.setdefault(numbers[name], {})[kind] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
