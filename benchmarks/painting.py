"""Painting: the learning rules one step after another and in parallel, and a whole painter.

`growth` measures how the delta rule's time and memory grow with the number of steps T and the image
size D, beside what the formulas of fpa/models/learning_rules.py let expect.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from measuring import Effort, Row, clock, rounds
from plain_forms import plain_forms
from torch import Tensor

from fpa.models.learning_rules import (
    delta,
    delta_loop,
    gated_delta,
    gated_delta_loop,
    oja,
    oja_loop,
)
from fpa.runs.run import Run, build_model

SEQUENTIAL = "one step after another"
Rule = Callable[..., tuple[Tensor, Tensor]]


def leaves(B: int, C: int, T: int, D: int, device: torch.device) -> dict[str, Tensor]:
    """Softmax keys, values, rates for each step and for each row, and small decays."""
    made = {
        "keys": torch.randn(B, C, T, D, device=device).softmax(-1),
        "values": torch.randn(B, C, T, D, device=device),
        "rates": torch.rand(B, C, T, 1, device=device),
        "vectors": torch.rand(B, C, T, D, device=device),
        "decays": -0.02 * torch.rand(B, 1, T, 1, device=device),
    }
    # Small values: the entries of Oja's system are their products.
    made["small"] = made["values"] / 16
    return {name: part.requires_grad_() for name, part in made.items()}


def forward(rule: Rule, inputs: list[Tensor]) -> None:
    """An image, without gradients."""
    with torch.no_grad():
        rule(*inputs)


def both(rule: Rule, inputs: list[Tensor]) -> None:
    """An image and the gradients of all inputs."""
    torch.autograd.grad(rule(*inputs)[0].sum(), inputs)


WORKS: dict[str, Callable[[Rule, list[Tensor]], None]] = {
    "forward": forward,
    "with backward": both,
}


def rules(
    size: str, B: int, C: int, T: int, D: int, device: torch.device, effort: Effort
) -> Iterator[Row]:
    """Every learning rule in both forms."""
    made = leaves(B, C, T, D, device)
    forms: dict[str, tuple[Rule, Rule, tuple[str, ...]]] = {
        "delta": (delta, delta_loop, ("keys", "values", "rates")),
        "delta, vector rates": (delta, delta_loop, ("keys", "values", "vectors")),
        "oja": (oja, oja_loop, ("keys", "small", "rates")),
        "gated_delta": (gated_delta, gated_delta_loop, ("keys", "values", "rates", "decays")),
        "rank_r_delta, rank 4": (
            partial(delta, rank=4),
            partial(delta_loop, rank=4),
            ("keys", "values", "rates"),
        ),
    }
    for name, (parallel, loop, names) in forms.items():
        inputs = [made[part] for part in names]
        for work, run in WORKS.items():
            row = Row("painting", size, name, work, str(device), torch.get_num_threads())
            row.ours, row.plain = rounds(
                [partial(run, form, inputs) for form in (parallel, loop)], effort, clock(device)
            )
            row.plain_form = SEQUENTIAL
            yield row


@torch.no_grad()
def painter(size: str, run: Run, device: torch.device, effort: Effort) -> Row:
    """A batch of images of a whole painter, its program included."""
    torch.manual_seed(run.seed)
    model: Any = build_model(run)
    model.to(device)
    z = torch.randn(run.training.batch_size, model.latent_dim, device=device)

    def sequential() -> None:
        with plain_forms():
            model.ema(z)

    row = Row("painting", size, run.model.name, "forward", str(device), torch.get_num_threads())
    row.ours, row.plain = rounds([lambda: model.ema(z), sequential], effort, clock(device))
    row.plain_form = SEQUENTIAL
    return row


# Growth ---------------------------------------------------------------------------------------

BATCH, CHANNELS = 4, 3
"""Of the measurements of growth."""
LARGEST_IN_TURN = 256 * 64
"""T D up to which the sequential form is differentiated."""


def flops(T: int, D: int, backward: bool) -> int:
    """FLOPs of the delta rule in parallel, for one image and channel, without W_0.

    K K^T takes 2 T^2 D, the triangular system T^2 D, U^T K 2 T D^2. Backward, a product takes twice
    its FLOPs; a system takes another one for its right side, T^2 D, and a product for its matrix,
    2 T^2 D.
    """
    made = 3 * T * T * D + 2 * T * D * D
    return made + (7 * T * T * D + 4 * T * D * D if backward else 0)


def flops_in_turn(T: int, D: int, backward: bool) -> int:
    """The same one step after another: W k and u k^T for each step, and twice that backward."""
    return (3 if backward else 1) * 4 * T * D * D


def peak_bytes(T: int, D: int, backward: bool) -> int:
    """Most bytes that the parallel form holds beyond its inputs, for one image and channel.

    Forward, that is while the system is solved: two T x T matrices (overlaps, and times the rates)
    and two T x D ones (targets and solution); or, for large images, when the image is made: one and
    two of these, and D x D. With backward the overlaps are kept in both forms, and while the
    system is solved backward there are two more T x T matrices and two more T x D ones.
    """
    if backward:
        floats = max(4 * T * T + 4 * T * D, 2 * T * T + 2 * T * D + D * D)
    else:
        floats = max(2 * T * T + 2 * T * D, T * T + 2 * T * D + D * D)
    return 4 * floats


def peak(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes of tensors that some work holds at once, beyond those that were there."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    held = most = 0
    events = profile.profiler.kineto_results.events()
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def growth(
    sizes: list[tuple[int, int]], device: torch.device, effort: Effort
) -> Iterator[dict[str, Any]]:
    """Seconds and peak bytes of the delta rule at sizes (T, D), in both forms, per batch."""
    for T, D in sizes:
        # One after the other keeps T matrices for the backward pass: minutes for the largest.
        small = T * D <= LARGEST_IN_TURN
        made = leaves(BATCH, CHANNELS, T, D, device)
        inputs = [made[name] for name in ("keys", "values", "rates")]
        for form, rule in {"parallel": delta, "sequential": delta_loop}.items():
            for work, run in WORKS.items():
                if form == "sequential" and work != "forward" and not small:
                    continue
                call = partial(run, rule, inputs)
                (times,) = rounds([call], effort, clock(device))
                backward, many = work != "forward", BATCH * CHANNELS
                parallel = form == "parallel"
                yield {
                    "T": T,
                    "D": D,
                    "form": form,
                    "work": work,
                    "device": str(device),
                    "threads": torch.get_num_threads(),
                    "seconds": times,
                    "peak_bytes": peak(call, device),
                    "flops": many * (flops if parallel else flops_in_turn)(T, D, backward),
                    "expected_bytes": many * peak_bytes(T, D, backward) if parallel else None,
                }


def rate(device: torch.device, size: int, effort: Effort) -> float:
    """FLOP/s of a square matrix product."""
    one = torch.randn(size, size, device=device)
    now = clock(device)
    best = float("inf")
    for _ in range(effort.most + 1):
        before = now()
        one @ one
        best = min(best, now() - before)
    return 2 * size**3 / best
