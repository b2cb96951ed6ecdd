"""The parallel forms of the learning rules against the plain loops, and what each rule is."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from fpa.evaluation.trace import step_pictures, updates_and_partial
from fpa.models.learning_rules import (
    accumulate,
    additive_loop,
    delta,
    delta_loop,
    gated_delta,
    gated_delta_loop,
    oja,
    oja_loop,
    solve_unit_lower,
)
from fpa.models.painter import Painter
from fpa.models.parts import RULES
from fpa.models.settings import PainterSettings

INPUTS = ("keys", "values", "rates", "decays", "initial")
RANK = 4
FORMS = {
    "delta": tuple(
        lambda k, v, b, a, W, form=form: form(k, v, b, W) for form in (delta, delta_loop)
    ),
    "additive": (
        lambda k, v, b, a, W: [accumulate(v, k, W)],
        lambda k, v, b, a, W: [additive_loop(k, v, W)],
    ),
    "oja": tuple(lambda k, v, b, a, W, form=form: form(k, v, b, W) for form in (oja, oja_loop)),
    "gated_delta": (gated_delta, gated_delta_loop),
    "rank_r_delta": tuple(
        lambda k, v, b, a, W, form=form: form(k, v, b, W, RANK) for form in (delta, delta_loop)
    ),
}
"""Parallel form and loop of each rule, of keys, values, rates, logarithms of decays, and W_0."""
SIZES = [(1, 1, 8, 1), (3, 1, 8, 5), (2, 3, 16, 16), (2, 2, 8, 40), (1, 3, 64, 64)]  # B, C, D, T
HARD = [
    "softmax keys",
    "one-hot keys that come back, rates of 1",
    "keys that hardly differ",
    "large keys that hardly differ, rates of 1",
    "huge values",
    "raw keys, rates of 1",
    "nothing is left",
]
# Loop and solve add the same numbers in another order: rounding grows with T and D.
TOLERANCE = {
    torch.float32: {"atol": 2e-5, "rtol": 2e-4},
    torch.float64: {"atol": 1e-12, "rtol": 1e-10},
}
CLOSE = {torch.float32: 1e-5, torch.float64: 1e-13}
"""Largest differences on the hard cases, as shares of a tensor's largest number.

On none of them does a rule itself enlarge rounding by more than ten: the loop in float32 comes within 1e-6
of that in float64.
"""


def inputs(size, vector: bool = False, with_initial: bool = True) -> dict[str, Tensor]:
    """INPUTS by name in float64, exactly representable in float32."""
    B, C, D, T = size
    random = torch.Generator().manual_seed(sum(size))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    found = {
        "keys": normal(B, C, T, D).softmax(-1),
        "values": normal(B, C, T, D),
        "rates": normal(B, C, T, D if vector else 1).sigmoid(),
        "decays": logsigmoid(normal(B, 1, T, 1) + 2),
    }
    if with_initial:
        found["initial"] = normal(C, D, D)
    return {name: part.double() for name, part in found.items()}


def hard(case: str, vector: bool) -> dict[str, Tensor]:
    """INPUTS on which a parallel form could go wrong."""
    B, C, D, T = size = (2, 2, 16, 24)
    random = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random).double()

    found = inputs(size, vector)
    if "rates of 1" in case:
        found["rates"] = torch.ones_like(found["rates"])
    if case == "one-hot keys that come back, rates of 1":
        found["keys"] = one_hot(torch.arange(T).expand(B, C, T) % 3, D).double()
    elif case == "keys that hardly differ":
        found["keys"] = (normal(B, C, 1, D) + 1e-4 * normal(B, C, T, D)).softmax(-1)
    elif case == "large keys that hardly differ, rates of 1":
        found["keys"] = (8 * normal(B, C, 1, D) + 1e-3 * normal(B, C, T, D)).softmax(-1)
    elif case == "huge values":
        found["values"] = 1e4 * found["values"]
    elif case == "raw keys, rates of 1":
        # Of norm 1 on average, shorter and longer: from 2 on, an update swings ever further.
        found["keys"] = D**-0.5 * normal(B, C, T, D)
    elif case == "nothing is left":
        found["decays"] = found["decays"] - 30
    return {name: part.float().double() for name, part in found.items()}


def derived(form, given: dict[str, Tensor], dtype: torch.dtype, twice: bool) -> list[Tensor]:
    """What a form makes, its gradients and, `twice`, the gradients of a function of those."""
    leaves = {name: part.to(dtype).requires_grad_() for name, part in given.items()}
    probe = torch.Generator().manual_seed(1)

    def mixed(parts: list[Tensor]) -> Tensor:
        probes = [torch.randn(part.shape, generator=probe).to(dtype) for part in parts]
        linear = sum((part * probe).sum() for part, probe in zip(parts, probes, strict=True))
        # Squares, so that the second derivative of what is linear is none of the tests' making.
        return linear + sum(part.square().sum() for part in parts) if twice else linear

    def slopes(of: Tensor, again: bool) -> list[Tensor]:
        every = list(leaves.values())
        how = {"create_graph": again, "allow_unused": True, "materialize_grads": True}
        return list(torch.autograd.grad(of, every, **how))

    made = list(form(*map(leaves.get, INPUTS)))
    made += slopes(mixed(made), twice)
    made += slopes(mixed(made[-len(leaves) :]), False) if twice else []
    return [part.detach().double() for part in made]


def rules_with(cases) -> list:
    """(rule, vector rates, case), where they go together."""
    return [
        pytest.param(rule, vector, case, id=f"{rule}{'+' * vector}-{case}")
        for rule in FORMS
        for vector in ((False, True) if rule in ("delta", "oja") else (False,))
        for case in cases
        if case != "nothing is left" or rule == "gated_delta"
        if case in HARD or case[-1] % RANK == 0 or rule != "rank_r_delta"
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("with_initial", [False, True], ids=["from zero", "learned start"])
@pytest.mark.parametrize(("rule", "vector", "size"), rules_with(SIZES))
def test_a_parallel_form_and_its_gradients(rule, vector, size, with_initial, dtype):
    given = inputs(size, vector, with_initial)
    if rule == "oja":
        # Small values, as a painter's: the system's entries are their products, and it grows with them.
        given["values"] = given["values"] * size[2] ** -0.5 / 2
    ours, oracle = (derived(form, given, dtype, twice=False) for form in FORMS[rule])
    for found, expected in zip(ours, oracle, strict=True):
        torch.testing.assert_close(found, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize(("rule", "vector", "case"), rules_with(HARD))
def test_a_parallel_form_and_two_derivatives_in_hard_cases(rule, vector, case):
    parallel, loop = FORMS[rule]
    given = hard(case, vector)
    if rule == "oja":
        # It takes the key in the value's place and the other way round.
        given["keys"], given["values"] = given["values"], given["keys"]
    exact = derived(loop, given, torch.float64, twice=True)
    assert all(part.isfinite().all() for part in exact)
    for dtype, close in CLOSE.items():
        for found, expected in zip(derived(parallel, given, dtype, twice=True), exact, strict=True):
            assert (found - expected).abs().max() <= close * expected.abs().max().clamp_min(1e-300)


def test_pictures_of_a_gated_painting_are_those_of_what_stood_there_at_each_step():
    torch.manual_seed(0)
    settings = PainterSettings(rule="gated_delta", steps=6, latent_dim=4, hidden_size=16)
    painter, z = Painter(8, 3, settings), torch.randn(2, 4)
    # Decays that fade a lot: 0.5 and less.
    bias = painter.program.to_kvb.bias.data.view(-1)
    bias[-6:] = torch.tensor([0.0, -5, 0.5, -4, 0, -4.5])
    trace = {name: part.detach().numpy() for name, part in painter.trace(z).items()}
    updates, partial = map(torch.from_numpy, step_pictures(trace))
    raw = painter.program(z)
    keys, values = raw.keys.double().softmax(-1), raw.values.double()
    W = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    matrices, written = [], []
    for t in range(6):
        decay = (raw.rates[:, :, t, 1].double().mean(1) + 4).sigmoid()[:, None, None, None]
        b = raw.rates[:, :, t, :1].double().sigmoid() if t else 1
        W = decay * W
        stored = torch.einsum("bcij,bcj->bci", W, keys[:, :, t])
        update = torch.einsum("bci,bcj->bcij", b * (values[:, :, t] - stored), keys[:, :, t])
        W = W + update
        assert t == 0 or (decay < 0.6).all()
        matrices.append(W)
        written.append(update)
    norm = W.flatten(1).norm(dim=1)
    for pictures, expected in ((partial, matrices), (updates, written)):
        for t, matrix in enumerate(expected):
            scale = norm / matrix.flatten(1).norm(dim=1)
            torch.testing.assert_close(
                pictures[:, t], (matrix * scale[:, None, None, None]).tanh(), atol=1e-5, rtol=1e-4
            )


def test_delta_product_steps_are_products_of_householder_matrices():
    T, n, D = 3, 2, 4
    settings = PainterSettings(rule="delta_product", updates=n, steps=T, learned_initial=True)
    rule = RULES["delta_product"].build(settings)
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 1, 1, T * n, D, generator=generator, dtype=torch.float64)
    raw = torch.randn(1, 1, T * n, 1, generator=generator, dtype=torch.float64)
    initial = torch.randn(1, D, D, generator=generator, dtype=torch.float64)
    written = rule.write(keys, values, raw, initial)
    W, k, b = initial[0], keys[0, 0].softmax(-1), raw[0, 0].sigmoid()
    for t in range(T):
        transition, added = torch.eye(D, dtype=torch.float64), torch.zeros(D, D).double()
        for i in range(t * n, (t + 1) * n):
            householder = torch.eye(D, dtype=torch.float64) - b[i] * torch.outer(k[i], k[i])
            transition = transition @ householder
            added = added @ householder + b[i] * torch.outer(values[0, 0, i], k[i])
        W = W @ transition + added
    torch.testing.assert_close(written.matrix[0, 0], W)
    assert written.left.shape == (1, 1, T * n, D)


def test_a_rank_r_step_reads_one_matrix():
    keys, values, rates, _, initial = inputs((2, 3, 8, 12)).values()
    matrix, left = delta(keys, values, rates, initial, rank=12)
    expected = rates * (values - keys @ initial.transpose(-1, -2))
    torch.testing.assert_close(left, expected)
    torch.testing.assert_close(matrix, initial + expected.transpose(-1, -2) @ keys)
    assert not torch.allclose(matrix, delta(keys, values, rates, initial)[0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"inputs": "v1", "position_codes": True},
        {"rule": "additive", "softmax_keys": False, "tanh_image": False},
        {"vector_rates": True, "tanh_values": True, "layers": 2},
        {"learned_initial": True, "wide_dim": 24, "sigmoid_rates": False},
        {"latent_to_state": False, "mini_tanh": False, "position_codes": True},
        {"rule": "oja", "vector_rates": True},
        {"rule": "oja", "softmax_keys": False, "learned_initial": True},
        {"rule": "gated_delta"},
        {"rule": "gated_delta", "learned_initial": True, "softmax_keys": False},
        {"rule": "delta_product", "updates": 3},
        {"rule": "rank_r_delta", "updates": 2},
        {"inputs": "split", "sequence": "transformer", "heads": 5},
        {"inputs": "v1", "sequence": "rfwp", "heads": 2, "layers": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(("size", "channels", "steps"), [(8, 1, 3), (12, 3, 7), (16, 1, 20)])
def test_step_images_add_up_to_the_image_that_forward_paints(options, size, channels, steps):
    torch.manual_seed(0)
    dims = {"latent_dim": 6 * steps, "hidden_size": 10, "mini_latent_dim": 3, "mini_input_size": 5}
    settings = PainterSettings(steps=steps, **dims, **options)
    painter = Painter(size, channels, settings)
    if painter.initial is not None:
        torch.nn.init.normal_(painter.initial)
    z = torch.randn(2, 6 * steps)
    painting = painter.paint(z)
    tolerance = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(painting.image, painter(z))
    trace = {name: part.detach().numpy() for name, part in painter.trace(z).items()}
    updates, partial = map(torch.from_numpy, updates_and_partial(trace))
    matrix = painting.rule_output.matrix.double()
    torch.testing.assert_close(partial[:, -1], matrix, **tolerance)
    assert updates.shape[1] == steps * settings.updates
    start = 0 if painter.initial is None else painter.initial
    torch.testing.assert_close(start + updates.sum(1), matrix, **tolerance)
    assert torch.linalg.matrix_rank(updates, rtol=1e-5).max() <= 1
    rates = painting.rule_output.rates
    if options.get("rule") == "additive":
        assert rates.eq(1).all()
    elif painter.initial is None and options.get("rule") != "oja":
        first = settings.updates if options.get("rule") == "rank_r_delta" else 1
        assert rates[:, :, :first].eq(1).all()
        assert rates[:, :, first:].lt(1).all()


def test_triangular_systems_are_solved_row_by_row_for_onnx(monkeypatch):
    random = torch.Generator().manual_seed(0)
    system = torch.randn(2, 3, 7, 7, generator=random, dtype=torch.float64)
    targets = torch.randn(2, 3, 7, 5, generator=random, dtype=torch.float64)
    expected = torch.linalg.inv(system.tril(-1) + torch.eye(7, dtype=torch.float64)) @ targets
    for exporting in (False, True):
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda value=exporting: value)
        torch.testing.assert_close(solve_unit_lower(system, targets), expected)
