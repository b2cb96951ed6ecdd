"""Parallel forms of the learning rules on inputs that are hard for them, derivatives of derivatives too.

The oracle is the plain loop in float64. On none of these inputs does a rule itself enlarge rounding by more
than ten: the loop in float32 comes within 1e-6 of it.
"""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from fpa.models.learning_rules import (
    accumulate,
    additive_loop,
    delta,
    delta_loop,
    gated_delta,
    gated_delta_loop,
    oja,
    oja_loop,
    rank_r_delta,
    rank_r_delta_loop,
)

B, C, T, D = 2, 2, 24, 16
RANK = 4
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-13}
"""Largest differences, as shares of a tensor's largest number."""


def inputs(case: str, vector: bool) -> dict[str, Tensor]:
    """keys, values, rates, decays and W_0 in float64, exactly representable in float32."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    found = {
        "keys": normal(B, C, T, D).softmax(-1),
        "values": normal(B, C, T, D),
        "rates": normal(B, C, T, D if vector else 1).sigmoid(),
        "decays": logsigmoid(normal(B, 1, T, 1) + 2),
        "initial": normal(C, D, D),
    }
    if case == "one-hot keys that come back, rates of 1":
        found["keys"] = one_hot(torch.arange(T).expand(B, C, T) % 3, D).float()
        found["rates"] = torch.ones_like(found["rates"])
    elif case == "keys that hardly differ":
        found["keys"] = (normal(B, C, 1, D) + 1e-4 * normal(B, C, T, D)).softmax(-1)
    elif case == "large keys that hardly differ, rates of 1":
        found["keys"] = (8 * normal(B, C, 1, D) + 1e-3 * normal(B, C, T, D)).softmax(-1)
        found["rates"] = torch.ones_like(found["rates"])
    elif case == "huge values":
        found["values"] = 1e4 * found["values"]
    elif case == "raw keys, rates of 1":
        # Of norm 1 on average, shorter and longer: from 2 on, an update swings ever further.
        found["keys"] = D**-0.5 * normal(B, C, T, D)
        found["rates"] = torch.ones_like(found["rates"])
    elif case == "nothing is left":
        found["decays"] = found["decays"] - 30
    return {name: part.double() for name, part in found.items()}


CASES = [
    "softmax keys",
    "one-hot keys that come back, rates of 1",
    "keys that hardly differ",
    "large keys that hardly differ, rates of 1",
    "huge values",
    "raw keys, rates of 1",
    "nothing is left",
]


def mirrored(form):
    """Oja's rule takes the key in the value's place and the other way round."""
    return lambda p: form(p["values"], p["keys"], p["rates"], p["initial"])


FORMS = {
    "delta": (
        lambda p: delta(p["keys"], p["values"], p["rates"], p["initial"]),
        lambda p: delta_loop(p["keys"], p["values"], p["rates"], p["initial"]),
    ),
    "additive": (
        lambda p: [accumulate(p["values"], p["keys"], p["initial"])],
        lambda p: [additive_loop(p["keys"], p["values"], p["initial"])],
    ),
    "oja": (mirrored(oja), mirrored(oja_loop)),
    "gated_delta": tuple(
        lambda p, form=form: form(p["keys"], p["values"], p["rates"], p["decays"], p["initial"])
        for form in (gated_delta, gated_delta_loop)
    ),
    "rank_r_delta": tuple(
        lambda p, form=form: form(p["keys"], p["values"], p["rates"], RANK, p["initial"])
        for form in (rank_r_delta, rank_r_delta_loop)
    ),
}


def derived(form, given: dict[str, Tensor], dtype: torch.dtype) -> list[Tensor]:
    """What a form makes, its gradients, and the gradients of a function of those."""
    leaves = {name: part.to(dtype).requires_grad_() for name, part in given.items()}
    probe = torch.Generator().manual_seed(1)

    def mixed(parts: list[Tensor]) -> Tensor:
        # Squares, so that the second derivative of what is linear is none of the tests' making.
        return sum(
            (part * torch.randn(part.shape, generator=probe).to(dtype)).sum() + part.square().sum()
            for part in parts
        )

    def slopes(of: Tensor, again: bool) -> list[Tensor]:
        return list(
            torch.autograd.grad(
                of,
                list(leaves.values()),
                create_graph=again,
                allow_unused=True,
                materialize_grads=True,
            )
        )

    made = list(form(leaves))
    first = slopes(mixed(made), True)
    second = slopes(mixed(first), False)
    return [part.detach().double() for part in (*made, *first, *second)]


def errors(found: list[Tensor], exact: list[Tensor]) -> list[float]:
    """Largest differences as shares of the largest number."""
    return [
        ((one - other).abs().max() / other.abs().max().clamp_min(1e-300)).item()
        for one, other in zip(found, exact, strict=True)
    ]


def cases():
    for rule in FORMS:
        for vector in (False, True) if rule in ("delta", "oja") else (False,):
            for case in CASES:
                if case != "nothing is left" or rule == "gated_delta":
                    yield pytest.param(rule, vector, case, id=f"{rule}{'+' * vector}-{case}")


@pytest.mark.parametrize(("rule", "vector", "case"), list(cases()))
def test_a_parallel_form_and_two_derivatives_are_those_of_the_loop(rule, vector, case):
    parallel, loop = FORMS[rule]
    given = inputs(case, vector)
    exact = derived(loop, given, torch.float64)
    assert all(part.isfinite().all() for part in exact)
    for dtype, close in CLOSE.items():
        assert max(errors(derived(parallel, given, dtype), exact)) <= close
