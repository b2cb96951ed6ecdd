"""What a model of an experiment brings: the interface that training, sampling and figures rely on.

A configuration names a model as `package.module:Class`. The constructor takes `image_size`,
`channels` and the model's settings as keyword arguments with type hints; a class with
`needs_base = True` takes the settings of the run that it starts from as `base` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Settings = Mapping[str, Any]
"""A model's settings as JSON values, as configurations and finished runs hold them."""
State = Mapping[str, Any]
"""What a training resumes from: plain containers and tensors."""
Weights = Mapping[str, "Mapping[str, Tensor]"]
"""What a finished run holds: name -> tensors by name, a network's state dict or an optimizer's."""


class Model(Protocol):
    """What every model brings. Nothing else is asked of it but the optional parts below.

    Randomness comes from torch's global generators: the training loop seeds, saves and restores
    them. `data_parallel = True` on the class says that several processes may share a batch: `step`
    then gets a share of it, draws and trains through fpa.core.distributed, and leaves the same
    state in all of them. `version` on the class (1 without it) is raised when training behaves
    differently, so that its runs are trained again.
    """

    latent_dim: int
    """L, the size of a latent."""

    @property
    def ema(self) -> nn.Module:
        """latents (B, L) -> images (B, C, H, W) in [0, 1], clamped by the caller; for evaluation."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What a finished run saves by name; "generator", "ema", "discriminator" are counted."""

    def step(self, real: Tensor) -> dict[str, Tensor]:
        """One training step on real images (B, C, H, W) in [0, 1]; its losses by name."""

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""

    def state_dict(self) -> State:
        """ALL state that the next step depends on, of plain containers and tensors."""

    def load_state_dict(self, state: State) -> None:
        """The inverse."""


@runtime_checkable
class StartsOthers(Protocol):
    """A model whose finished runs others start from; they may need more than its networks."""

    def start_for_others(self) -> dict[str, dict[str, Tensor]]:
        """What others start from, by name, as flat dictionaries of tensors.

        A finished run keeps it as it is at the end, and as it was at the best checkpoint, there
        with "best_" before every name.
        """


@runtime_checkable
class StartsFromRun(Protocol):
    """A model that starts from a finished run of another one (`needs_base = True`).

    Its settings may have `base_checkpoint`: a run that starts from the "best" one needs a base with
    quick scores.
    """

    def start_from(self, weights: Weights) -> None:
        """Copy what it needs from a finished run: its networks, and what StartsOthers adds.

        "best" is the EMA generator at the best checkpoint. Called once, on the model's device.
        """


@runtime_checkable
class Refines(Protocol):
    """A model whose generator refines the images of another one."""

    @property
    def unrefined(self) -> nn.Module:
        """That generator, latents (B, L) -> images; scored once, when training begins."""


@runtime_checkable
class Paints(Protocol):
    """A model that can show how an image comes about."""

    def paint(self, z: Tensor) -> dict[str, Tensor]:
        """The painting trace of latents (B, L), by name: `image`, and what Painter.trace has."""
