"""An optimizer's state as tensors by name, to be kept beside the weights of its network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """State of an optimizer of all of a network's parameters, as "exp_avg.NAME", ...

    Empty before its first step.
    """
    state = optimizer.state_dict()["state"]
    names = [name for name, _ in network.named_parameters()]
    return {
        f"{kind}.{names[number]}": value
        for number, values in state.items()
        for kind, value in values.items()
    }


def load(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """The inverse; learning rate and the like stay the optimizer's own."""
    numbers = {name: number for number, (name, _) in enumerate(network.named_parameters())}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        state.setdefault(numbers[name], {})[kind] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
