"""The learning rules as loops and in their parallel forms: forward and backward times, and their ratio.

    python benchmarks/rules.py

At the paper's size (B = 20, C = 3, D = 64, T = 64), float32. Some seconds on two cores.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from fpa.models.learning_rules.delta import delta, delta_loop
from fpa.models.learning_rules.gated import gated_delta, gated_delta_loop
from fpa.models.learning_rules.oja import oja, oja_loop
from fpa.models.learning_rules.products import rank_r_delta, rank_r_delta_loop

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
    keys, values = torch.randn(SIZE).softmax(-1), torch.randn(SIZE)
    rates, vectors = torch.rand(B, C, T, 1), torch.rand(B, C, T, D)
    decays = -0.02 * torch.rand(B, 1, T, 1)
    forms: dict[str, tuple[Callable, Callable, list[Tensor]]] = {
        "delta": (delta_loop, delta, [keys, values, rates]),
        "delta, vector rates": (delta_loop, delta, [keys, values, vectors]),
        # Small values: its system's entries are their products.
        "oja": (oja_loop, oja, [keys, values / 16, rates]),
        "gated_delta": (gated_delta_loop, gated_delta, [keys, values, rates, decays]),
        "rank_r_delta, rank 4": (
            lambda k, v, b: rank_r_delta_loop(k, v, b, 4),
            lambda k, v, b: rank_r_delta(k, v, b, 4),
            [keys, values, rates],
        ),
    }
    for name, (loop_form, parallel_form, inputs) in forms.items():
        leaves = [part.clone().requires_grad_() for part in inputs]
        loop, parallel = measure(loop_form, leaves), measure(parallel_form, leaves)
        for what, a, b in zip(("forward", "with backward"), loop, parallel, strict=True):
            print(
                f"{name:20} {what:13}  loop {a:7.1f} ms  parallel {b:7.1f} ms  ratio {a / b:5.1f}"
            )


if __name__ == "__main__":
    sys.exit(main())
