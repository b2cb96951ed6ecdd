"""A checkpoint of the public code, `model_N.pt`: read without running anything, and taken apart.

It is torch's archive of {"GAN": state dict, "version": ..., "G_opt": ..., "D_opt": ...}. The state dict
holds the generator under "G.", its average under "GE.", the discriminator under "D." and again, as its
augmentation wrapper holds it, under "D_aug.D.". A generator with a U-Net lists every tensor twice: under
its own name, and under "mod_dict".
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpa.core.errors import UserError
from fpa.models.published.names import Names

NETWORKS = {"G": "generator", "GE": "ema", "D_aug.D": "discriminator"}
"""Prefixes of the state dict, and what is under them."""
BLUR = re.compile(r"(.*\.)?f$")
"""The kernel of a blur, which is a buffer there."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, under its public names and in their order."""

    path: Path
    networks: Mapping[str, Mapping[str, Tensor]]
    """"generator", "ema" and "discriminator": name -> tensor."""
    optimizers: Mapping[str, Any]
    """"generator" and "discriminator", as torch's optimizers save them, where they are there."""


def read(path: Path) -> Checkpoint:
    """A checkpoint; UserError with the reason where the file is none. Runs no code of the file."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError) as error:
        raise UserError(f"{path} {_reason(error)}") from error
    if not isinstance(whole, Mapping) or not isinstance(whole.get("GAN"), Mapping):
        found = f"keys {', '.join(map(str, whole))}" if isinstance(whole, Mapping) else type(whole)
        raise UserError(
            f"{path} is no checkpoint of the public code: it has no state dict under 'GAN' "
            f"(found {found})"
        )
    return Checkpoint(path, _networks(whole["GAN"], path), _optimizers(whole))


def _networks(state: Mapping[Any, Any], path: Path) -> dict[str, dict[str, Tensor]]:
    """The state dict by network, without what it holds twice."""
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in (*NETWORKS, "D")}
    for key, value in state.items():
        prefix = next((p for p in parts if str(key).startswith(f"{p}.")), None)
        if prefix is None or not isinstance(value, Tensor):
            raise UserError(
                f"{path}: 'GAN' holds {key!r}, expected tensors under G., GE., D. and D_aug.D."
            )
        parts[prefix][str(key).removeprefix(f"{prefix}.")] = value
    plain = parts.pop("D")
    # The wrapped one is what trains; older checkpoints may have only the other.
    parts["D_aug.D"] = parts["D_aug.D"] or plain
    for prefix, tensors in parts.items():
        if not tensors:
            raise UserError(f"{path}: there are no tensors under {prefix}.")
    return {
        NETWORKS[prefix]: _once(tensors, f"{path}: {prefix}") for prefix, tensors in parts.items()
    }


def _once(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Without blur kernels, and without mod_dict, whose lists repeat the others in their order."""
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not BLUR.match(name) and not name.startswith("mod_dict.")
    }
    for name, tensor in tensors.items():
        if BLUR.match(name) and tensor.tolist() != [1.0, 2.0, 1.0]:
            raise UserError(f"{where}.{name} is {tensor.tolist()}, expected [1, 2, 1]")
    repeated = {name: t for name, t in tensors.items() if name.startswith("mod_dict.")}
    if repeated:
        # A module's own parameters (position codes, W_0) are in no list of modules.
        layers = [name for name in kept if "." in name]
        order = sorted(layers, key=lambda name: name.startswith("u_net."))
        if len(order) != len(repeated):
            raise UserError(
                f"{where}.mod_dict repeats {len(repeated)} tensors, expected all {len(order)}"
            )
        for name, (copied, tensor) in zip(order, repeated.items(), strict=True):
            if kept[name].shape != tensor.shape or not torch.equal(kept[name], tensor):
                raise UserError(f"{where}.{copied} is another tensor than {where}.{name}")
    return kept


def _optimizers(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizers' states that are there."""
    found = {"generator": whole.get("G_opt"), "discriminator": whole.get("D_opt")}
    return {
        name: state
        for name, state in found.items()
        if isinstance(state, Mapping) and {"state", "param_groups"} <= state.keys()
    }


def state_of(
    network: nn.Module, tensors: Mapping[str, Tensor], names: Names, where: str
) -> dict[str, Tensor]:
    """A network's state dict, of tensors by their public names.

    UserError for a missing tensor, one of another shape, and one that has no place.
    """
    state = {}
    for name, own in network.state_dict().items():
        if names[name] not in tensors:
            raise UserError(f"{where} lacks the tensor {names[name]}, {_shape(own)}")
        state[name] = _fitted(tensors[names[name]], own, f"{where}: {names[name]}")
    others = [name for name in tensors if name not in set(names.values())]
    if others:
        raise UserError(
            f"{where} holds {others[0]}, {_shape(tensors[others[0]])}, which this model has no "
            "place for; do the arguments belong to the checkpoint?"
        )
    return state


def _fitted(tensor: Tensor, own: Tensor, where: str) -> Tensor:
    """The tensor in our shape: recurrent fast weights have further dimensions of 1 there."""
    if tensor.shape != own.shape and tensor.dim() == 4 and own.dim() == 3 and len(tensor) == 1:
        # R_q (1, heads, E, E), r_b (1, heads, 1, E): ours is (heads, E, 1).
        tensor = tensor[0] if tensor.shape[1:] == own.shape else tensor[0].transpose(1, 2)
    if tensor.shape != own.shape:
        raise UserError(f"{where} is {_shape(tensor)}, expected {_shape(own)}")
    if tensor.is_floating_point() != own.is_floating_point():
        raise UserError(f"{where} is {tensor.dtype}, expected {own.dtype}")
    return tensor.to(own.dtype).contiguous()


def moments_of(
    optimizer: Mapping[str, Any], network: nn.Module, tensors: Mapping[str, Tensor], names: Names
) -> dict[str, Tensor]:
    """Adam's moments of a network's parameters as "exp_avg.NAME", ..., by our names.

    tensors: the network's, by public names: without buffers, they are in the order of the
    optimizer's parameters. Empty where their numbers differ.
    """
    parameters = dict(network.named_parameters())
    ours = {public: name for name, public in names.items() if name in parameters}
    order = [ours[public] for public in tensors if public in ours]
    numbered = [number for group in optimizer["param_groups"] for number in group["params"]]
    if len(numbered) != len(order):
        return {}
    found: dict[str, Tensor] = {}
    for number, name in zip(numbered, order, strict=True):
        for kind, value in optimizer["state"].get(number, {}).items():
            value = torch.as_tensor(value, dtype=torch.float32)
            fitting = value if kind == "step" else _fitted(value, parameters[name], kind)
            found[f"{kind}.{name}"] = fitting
    return found


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def _reason(error: Exception) -> str:
    """Why torch's loader does not read a file, in one line and without its advice to trust it."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked:
        return f"is refused: it asks to run {asked[1]}, and a checkpoint needs tensors and numbers alone"
    lines = str(error).splitlines() or [type(error).__name__]
    said = "" if "weights_only" in lines[0] else f" ({lines[0]})"
    return (
        "is not a file that torch has saved, is damaged, or holds something else than tensors and "
        f"numbers{said}"
    )
