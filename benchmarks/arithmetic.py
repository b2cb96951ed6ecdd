"""The arithmetic limit of some work: its convolutions and matrix products, each timed by itself.

What a piece of work asks of torch is recorded: every convolution and matrix product, forward and
backward, by the shapes and strides of its arguments. Each distinct one is then run alone on random
numbers, some times over, and its fastest run counts as often as it was asked for. So the rate is
the one that this machine reaches, at this time, on these very operations, and what is beside them
(activations, norms, copies, Python) would have to take no time to reach the limit. An LSTM is counted
as its matrix products, step by step.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten
PRODUCTS = {
    aten.mm,
    aten.addmm,
    aten.bmm,
    aten.baddbmm,
    aten.convolution,
    aten.convolution_backward,
}
"""With an output given or made."""
REPEATS = 5
SPEND = 0.1
"""Seconds that one operation's repeats may take before no further one begins."""


@dataclass(frozen=True)
class Argument:
    """A tensor, as far as time depends on it."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return cls(tuple(value.shape), value.stride(), value.dtype, value.device)
        return tuple(value) if isinstance(value, list) else value

    def made(self) -> torch.Tensor:
        tensor = torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device)
        # An expanded tensor cannot be filled.
        if 0 in self.strides:
            return torch.randn(self.shape, dtype=self.dtype, device=self.device)
        return tensor.normal_()


class Recorder(TorchDispatchMode):
    """Counts the products that are asked for while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Any] = Counter()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in PRODUCTS:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
            described = tuple(Argument.of(a) for a in args)
            named = tuple(sorted((k, Argument.of(v)) for k, v in kwargs.items()))
            self.calls[func, described, named] += 1
        return out


LSTM = nn.LSTM.forward


def lstm_in_products(self: nn.LSTM, *inputs: Any) -> Any:
    """oneDNN and cuDNN take a whole LSTM in one call, which hides its products."""
    backends = (torch.backends.mkldnn, torch.backends.cudnn)
    before = [backend.enabled for backend in backends]
    try:
        for backend in backends:
            backend.enabled = False
        return LSTM(self, *inputs)
    finally:
        for backend, enabled in zip(backends, before, strict=True):
            backend.enabled = enabled


def record(work: Callable[[], object]) -> Recorder:
    """What `work` asks for."""
    recorder = Recorder()
    with patch.object(nn.LSTM, "forward", lstm_in_products), recorder:
        work()
    return recorder


def _listed(value: Any) -> Any:
    if isinstance(value, Argument):
        return value.made()
    return list(value) if isinstance(value, tuple) else value


def fastest(call: Any, clock: Callable[[], float]) -> float:
    """Seconds of one recorded operation, alone."""
    func, args, named = call
    arguments = [_listed(a) for a in args]
    options = {key: _listed(value) for key, value in named}
    best, started = float("inf"), clock()
    with torch.no_grad():
        for repeat in range(REPEATS + 1):
            before = clock()
            func(*arguments, **options)
            # The first one warms up.
            if repeat:
                best = min(best, clock() - before)
                if clock() - started > SPEND:
                    break
    return best


def limit(recorder: Recorder, clock: Callable[[], float]) -> float:
    """Seconds that the recorded operations take, each at its fastest.

    clock: seconds, read when the device has done all that was asked of it.
    """
    return sum(count * fastest(call, clock) for call, count in recorder.calls.items())
