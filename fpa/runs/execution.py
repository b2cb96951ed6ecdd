"""How training steps are computed: what changes their numbers by rounding at most, and their speed."""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fpa.core import distributed
from fpa.core.errors import one_line
from fpa.core.progress import log
from fpa.models.interface import Model
from fpa.runs import precision
from fpa.runs.randomness import unchanged_random_state

NONE = "none"
BACKENDS = {"graphs": "cudagraphs", "compile": "inductor"}
"""What torch.compile makes of a network: CUDA graphs of its operations as they are, or new kernels."""
COMPILE = (NONE, *BACKENDS)
TRIAL_STEPS = 2
"""The first step of a recipe has its penalties, the second has none."""


@dataclass(frozen=True)
class Execution:
    """The settings of a configuration's `runtime` that every training records."""

    precision: Sequence[str] = ()
    """What may be less exact than float32 (fpa.runs.precision)."""
    channels_last: bool = False
    """Whether convolutions get their maps with the channels next to each other."""
    compile: str = NONE
    """One of COMPILE, for generator and discriminator."""

    def prepare(self, model: Model, shape: Sequence[int], device: torch.device) -> "Execution":
        """Set a model up that is on its device, and say what holds: without `compile` where that fails.

        shape: of a batch of images. A model that is compiled makes two steps first, which are undone:
        what cannot be compiled shows there.
        """
        if self.channels_last:
            for name, network in model.networks.items():
                if name != "ema":
                    use_channels_last(network)
        if self.compile == NONE:
            return self
        problem = self._compile(model, shape, device)
        if not problem:
            return self
        log.warning("runtime.compile: %s is left out: %s", self.compile, problem)
        return replace(self, compile=NONE)

    def _compile(self, model: Model, shape: Sequence[int], device: torch.device) -> str:
        """Compile the networks that a step trains; what went wrong, or nothing."""
        if self.compile == "graphs" and device.type != "cuda":
            return "graphs need a CUDA GPU"
        if distributed.world_size() > 1:
            return "several processes share each batch"
        trained = [net for name, net in model.networks.items() if name != "ema"]
        for network in trained:
            network.compile(backend=BACKENDS[self.compile], dynamic=False)
        before = copy.deepcopy(model.state_dict())
        try:
            with unchanged_random_state(device):
                for _ in range(TRIAL_STEPS):
                    with self.step(device):
                        model.step(torch.rand(*shape, device=device))
        except Exception as error:
            # Of any type: of a compiler, a library, or of the model, and then it comes again.
            for network in trained:
                network._compiled_call_impl = None
            # torch wraps what a compiler said, and says nothing of it in its first line.
            return one_line(getattr(error, "inner_exception", error))
        finally:
            model.load_state_dict(before)
        return ""

    def step(self, device: torch.device) -> AbstractContextManager[object]:
        """The context that one training step runs in."""
        if self.compile == "graphs":
            # What the graphs returned in the step before may be overwritten.
            torch.compiler.cudagraph_mark_step_begin()
        return precision.casting(self.precision, device)

    def record(self) -> dict[str, Any]:
        """What a training's summary and a cost file say of it."""
        return {
            "precision": precision.in_force(self.precision),
            "channels_last": self.channels_last,
            "compile": self.compile,
        }


def use_channels_last(network: nn.Module) -> None:
    """Have a network's convolutions take and return maps in the order batch, height, width, channel.

    Tensors keep their shapes, and weights their order, so that a checkpoint does not depend on it. Only
    torch's own layers for images are changed.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(_channels_last)


def _channels_last(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (given[0].contiguous(memory_format=torch.channels_last), *given[1:])
