"""What literal versions of the training recipes share: Adam and averages written out, comparisons."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

STEPS = 20
# Both sides compute in float64 and differ by the order of sums. Adam makes the most of it: a gradient
# that should vanish (of a bias in front of a batch norm) is rounding, up to 1e-14, and divided by Adam's
# epsilon of 1e-8 that is 1e-6 of a learning rate of at most 1e-3, in each of 20 steps. What the steps
# themselves move is a thousand times more than what is tolerated.
CLOSE = {"atol": 1e-7, "rtol": 1e-7}


@contextmanager
def float64() -> Iterator[None]:
    """Networks, draws and images in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def batches(count: int, channels: int, size: int) -> list[Tensor]:
    """A batch of images in [0, 1] for every step."""
    generator = torch.Generator().manual_seed(1)
    shape = (count, channels, size, size)
    return [torch.rand(shape, generator=generator) for _ in range(STEPS)]


class Adam:
    """Adam as in Kingma & Ba (2015), algorithm 1."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> None:
        self.parameters, self.rate, (self.beta1, self.beta2) = list(parameters), rate, betas
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.t = 0

    @torch.no_grad()
    def descend(self, gradients: Iterable[Tensor]) -> None:
        self.t += 1
        for i, (parameter, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            self.first[i] = self.beta1 * self.first[i] + (1 - self.beta1) * g
            self.second[i] = self.beta2 * self.second[i] + (1 - self.beta2) * g * g
            m = self.first[i] / (1 - self.beta1**self.t)
            v = self.second[i] / (1 - self.beta2**self.t)
            parameter -= self.rate * m / (v.sqrt() + 1e-8)

    def minimise(self, loss: Tensor) -> None:
        """One step on the gradients of a loss; zero for what the loss does not depend on."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        zeros = [torch.zeros_like(p) for p in self.parameters]
        self.descend(z if g is None else g for g, z in zip(found, zeros, strict=True))


@torch.no_grad()
def average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """EMA := decay * EMA + (1 - decay) * network, batch statistics too; counters are copied."""
    new = network.state_dict()
    for name, old in ema.state_dict().items():
        mixed = decay * old + (1 - decay) * new[name] if old.is_floating_point() else new[name]
        old.copy_(mixed)


def mean(terms: Iterable[Tensor]) -> Tensor:
    """One number after the other."""
    terms = list(terms)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total / len(terms)


def log_sigmoid_loss(logit: Tensor) -> Tensor:
    """-log(sigmoid(logit))."""
    return torch.log(1 + torch.exp(-logit))


def norm(x: Tensor) -> Tensor:
    """Euclidean length over all entries."""
    return (x * x).sum() ** 0.5


def assert_same(ours: dict[str, nn.Module], literal: dict[str, nn.Module]) -> None:
    """Parameters and buffers of all networks agree."""
    for name, network in ours.items():
        theirs = literal[name].state_dict()
        for path, value in network.state_dict().items():
            torch.testing.assert_close(
                value, theirs[path], **CLOSE, msg=lambda t, p=path, n=name: f"{n}.{p}: {t}"
            )


def corrected(rate: float, betas: tuple[float, float], every: int) -> tuple[float, tuple]:
    """Adam's settings where `every` steps are followed by one more, of a regularisation."""
    c = every / (every + 1)
    return rate * c, tuple(math.pow(beta, c) for beta in betas)
