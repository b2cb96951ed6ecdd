"""How many bytes a training takes on disk, from its model's shapes."""

from typing import Any

import torch

from fpa.models.interface import StartsOthers
from fpa.models.loading import shapes_only
from fpa.runs.run import Run, build_model


def of_run(run: Run) -> tuple[int, int]:
    """(bytes of a finished run, bytes of a checkpoint)."""

    def size(tensors: Any) -> int:
        if isinstance(tensors, torch.Tensor):
            return tensors.numel() * tensors.element_size()
        return sum(map(size, tensors.values())) if isinstance(tensors, dict) else 0

    with shapes_only():
        model = build_model(run)
    networks = {name: size(network.state_dict()) for name, network in model.networks.items()}
    moments = {name: 2 * bytes_ for name, bytes_ in networks.items() if name != "ema"}
    started: dict[str, int] = {}
    if isinstance(model, StartsOthers):
        for name in model.start_for_others():
            network, _, what = name.partition("_")
            started[name] = moments[network] if what == "optimizer" else networks.get(name, 0)
    best = networks.get("ema", 0) + sum(started.values()) if run.training.watch_kimg else 0
    finished = sum({**networks, **started}.values()) + best
    return finished, sum(networks.values()) + sum(moments.values()) + best
