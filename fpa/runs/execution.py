"""How training steps are computed: precision, memory format, compilation, and torch's random state.

Precision, memory format and compilation change a training's numbers by rounding at most, and its speed.
Nothing is less exact than float32 by default, as in the official code of StyleGAN2-ADA; torch's own
default lets cuDNN use TF32 (10 bits of mantissa in place of 23) for convolutions and LSTMs on recent
GPUs.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

from fpa.core.errors import UserError, did_you_mean, one_line
from fpa.core.lazy import torch
from fpa.core.progress import log
from fpa.models.interface import Model
from fpa.runs import processes

if TYPE_CHECKING:
    from torch import Tensor, nn

TF32 = ("tf32_matmul", "tf32_convolution", "tf32_lstm")
AUTOCAST = "autocast_bfloat16"
CHOICES = (*TF32, AUTOCAST)
NONE = "none"
BACKENDS = {"graphs": "cudagraphs", "compile": "inductor"}
"""What torch.compile makes of a network: CUDA graphs of its operations as they are, or new kernels."""
COMPILE = (NONE, *BACKENDS)
TRIAL_STEPS = 2
"""The first step of a recipe has its penalties, the second has none."""


class Recorded(TypedDict):
    """What a training's summary and a cost file say of an execution."""

    precision: list[str]
    channels_last: bool
    compile: str


@dataclass(frozen=True)
class Execution:
    """The settings of a configuration's `runtime` that every training records."""

    precision: Sequence[str] = ()
    """What may be less exact than float32 (one of CHOICES each)."""
    channels_last: bool = False
    """Whether convolutions get their maps with the channels next to each other."""
    compile: str = NONE
    """One of COMPILE, for generator and discriminator."""

    def prepare(self, model: Model, shape: Sequence[int], device: torch.device) -> Execution:
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
        if processes.is_worker():
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
        return autocast(self.precision, device)

    def record(self) -> Recorded:
        """What a training's summary and a cost file say of it."""
        return {
            "precision": precision_in_force(self.precision),
            "channels_last": self.channels_last,
            "compile": self.compile,
        }


def use_channels_last(network: nn.Module) -> None:
    """Have a network's convolutions take and return maps in the order batch, height, width, channel.

    Tensors keep their shapes, and weights their order, so that a checkpoint does not depend on it. Only
    torch's own layers for images are changed.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_pre_hook(_channels_last)


def _channels_last(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (given[0].contiguous(memory_format=torch.channels_last), *given[1:])


def set_precision(names: Collection[str]) -> None:
    """Let this process use TF32 on a GPU for what is named, and for nothing else.

    UserError for an unknown name, and for what this version of torch cannot tell apart.
    """
    for name in names:
        if name not in CHOICES:
            known = did_you_mean(name, list(CHOICES))
            raise UserError(
                f"precision: there is no '{name}'{known}; expected {', '.join(CHOICES)}"
            )
    on = {name: name in names for name in TF32}
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    each = hasattr(cudnn, "rnn")  # before torch 2.9 one switch served both of cuDNN's
    if not each and on["tf32_convolution"] != on["tf32_lstm"]:
        raise UserError(
            f"torch {torch.__version__} switches TF32 of convolutions and LSTMs together; name "
            "tf32_convolution and tf32_lstm both, or neither, or install torch 2.9 or newer"
        )
    # The older switches first: torch raises where they are read (torch.export reads them) and differ.
    matmul.allow_tf32 = on["tf32_matmul"]
    cudnn.allow_tf32 = on["tf32_convolution"]
    if each:
        matmul.fp32_precision = _name(on["tf32_matmul"])
        cudnn.conv.fp32_precision = _name(on["tf32_convolution"])
        cudnn.rnn.fp32_precision = _name(on["tf32_lstm"])


def tf32_in_use() -> list[str]:
    """What this process may use TF32 for: the inverse of `set_precision`."""
    cudnn: Any = torch.backends.cudnn
    if not hasattr(cudnn, "rnn"):
        on = (torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.allow_tf32)
    else:
        parts = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
        on = tuple(part.fp32_precision == "tf32" for part in parts)
    return [name for name, is_on in zip(TF32, on, strict=True) if is_on]


def precision_in_force(names: Collection[str]) -> list[str]:
    """All that is less exact in a training that was given these names, for its record."""
    return [*tf32_in_use(), *([AUTOCAST] if AUTOCAST in names else [])]


def autocast(names: Collection[str], device: torch.device) -> AbstractContextManager[object]:
    """The context that training steps run in: torch.autocast to bfloat16 if it is named."""
    if AUTOCAST in names:
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def full_precision() -> Iterator[None]:
    """A block in which this process uses TF32 for nothing, such as a quick score."""
    before = tf32_in_use()
    set_precision(())
    try:
        yield
    finally:
        set_precision(before)


def _name(tf32: bool) -> str:
    return "tf32" if tf32 else "ieee"


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that a training on `device` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
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
