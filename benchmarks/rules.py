"""The delta rule as a loop and in its parallel form: forward and backward times, and their ratio.

    python benchmarks/rules.py

At the paper's size (B = 20, C = 3, D = 64, T = 64), float32. Some seconds on two cores.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fpa.models.learning_rules.delta import delta, delta_loop

SIZE = (20, 3, 64, 64)  # B, C, T, D
REPEATS = 10


def milliseconds(work: Callable[[], object]) -> float:
    """The fastest of some repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def measure(
    rule: Callable[..., tuple[Tensor, Tensor]], leaves: list[Tensor]
) -> tuple[float, float]:
    """Forward, and forward with backward."""

    def both() -> None:
        torch.autograd.grad(rule(*leaves)[0].sum(), leaves)

    with torch.no_grad():
        forward = milliseconds(lambda: rule(*leaves))
    return forward, milliseconds(both)


def main() -> None:
    torch.manual_seed(0)
    B, C, T, D = SIZE
    for name, rate_size in (("scalar rates", 1), ("vector rates", D)):
        leaves = [
            torch.randn(SIZE).softmax(-1).requires_grad_(),
            torch.randn(SIZE).requires_grad_(),
            torch.rand(B, C, T, rate_size).requires_grad_(),
        ]
        loop, parallel = measure(delta_loop, leaves), measure(delta, leaves)
        for what, a, b in zip(("forward", "with backward"), loop, parallel, strict=True):
            print(f"{name}, {what:13}  loop {a:7.1f} ms  parallel {b:7.1f} ms  ratio {a / b:5.1f}")


if __name__ == "__main__":
    sys.exit(main())
