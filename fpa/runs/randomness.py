"""torch's global random state: saved, restored, and kept from those who only observe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of the generators that a training on `device` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore what `random_state` gave."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def unchanged_random_state(device: torch.device) -> Iterator[None]:
    """A block after which the training draws as if the block had not been there."""
    state = random_state(device)
    try:
        yield
    finally:
        set_random_state(state, device)
