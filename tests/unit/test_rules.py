"""The parallel forms of the learning rules against the plain loops, outputs and gradients."""

import pytest
import torch

from fpa.evaluation.trace import step_pictures, updates_and_partial
from fpa.models.learning_rules import (
    AdditiveRule,
    additive_loop,
    delta,
    delta_loop,
    first_rate_one,
    gated_delta,
    gated_delta_loop,
    oja,
    oja_loop,
    rank_r_delta,
    rank_r_delta_loop,
    solve_unit_lower,
)
from fpa.models.painter import Painter
from fpa.models.parts import RULES
from fpa.models.settings import PainterSettings

# Loop and solve add the same numbers in another order: rounding grows with T and D.
TOLERANCE = {
    torch.float32: {"atol": 2e-5, "rtol": 2e-4},
    torch.float64: {"atol": 1e-12, "rtol": 1e-10},
}
SIZES = [(1, 1, 8, 1), (3, 1, 8, 5), (2, 3, 16, 16), (2, 2, 8, 40), (1, 3, 64, 64)]  # B, C, D, T


def inputs(size, rate_size, dtype, with_initial):
    B, C, D, T = size
    generator = torch.Generator().manual_seed(sum(size) + rate_size)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    keys = normal(B, C, T, D).softmax(-1)
    rates = normal(B, C, T, rate_size).sigmoid()
    initial = normal(C, D, D) if with_initial else None
    leaves = [keys, normal(B, C, T, D), rates] + ([initial] if with_initial else [])
    return [leaf.requires_grad_() for leaf in leaves]


def outputs_and_gradients(rule, leaves):
    keys, values, rates, *initial = leaves
    written = rule(keys, values, rates, initial[0] if initial else None)
    probe = torch.Generator().manual_seed(0)
    loss = sum(
        (part * torch.randn(part.shape, generator=probe, dtype=part.dtype)).sum()
        for part in written
    )
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [*written, *gradients]


def use_rates(form, first_rate):
    """The delta rule with its first rate as given, or as the published painter has it: 1."""
    return lambda k, v, b, initial: form(k, v, b if first_rate else first_rate_one(b), initial)


def assert_same(rule, loop, leaves):
    tolerance = TOLERANCE[leaves[0].dtype]
    for ours, oracle in zip(
        outputs_and_gradients(rule, leaves),
        outputs_and_gradients(loop, leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, oracle, **tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("with_initial", [False, True], ids=["from zero", "learned start"])
@pytest.mark.parametrize("first_rate", [False, True], ids=["b_1 = 1", "b_1 used"])
@pytest.mark.parametrize("vector", [False, True], ids=["scalar rates", "vector rates"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_parallel_delta_rule_equals_the_loop(size, vector, first_rate, with_initial, dtype):
    leaves = inputs(size, size[2] if vector else 1, dtype, with_initial)
    rule, loop = (use_rates(form, first_rate) for form in (delta, delta_loop))
    assert_same(rule, loop, leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("with_initial", [False, True], ids=["from zero", "learned start"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_parallel_additive_rule_equals_the_loop(size, with_initial, dtype):
    rule = AdditiveRule(PainterSettings(rule="additive", softmax_keys=False))
    assert_same(
        lambda k, v, _, initial: [rule.write(k, v, v[..., :0], initial).matrix],
        lambda k, v, _, initial: [additive_loop(k, v, initial)],
        inputs(size, 1, dtype, with_initial),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("with_initial", [False, True], ids=["from zero", "learned start"])
@pytest.mark.parametrize("vector", [False, True], ids=["scalar rates", "vector rates"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_parallel_oja_rule_equals_the_loop(size, vector, with_initial, dtype):
    leaves = inputs(size, size[2] if vector else 1, dtype, with_initial)
    # Small values, as a painter's: the system's entries are their products, and it grows with them.
    leaves[1].data *= size[2] ** -0.5 / 2
    assert_same(oja, oja_loop, leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("with_initial", [False, True], ids=["from zero", "learned start"])
@pytest.mark.parametrize("strong", [False, True], ids=["weak decay", "decay that underflows"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_parallel_gated_delta_rule_equals_the_loop(size, strong, with_initial, dtype):
    keys, values, rates, *initial = inputs(size, 1, dtype, with_initial)
    # exp(-20) a step: what several of them leave is 0 in float32, and 1 over it infinite.
    decays = (torch.rand_like(rates[:, :1]) * (-20 if strong else -0.1)).requires_grad_()

    def outputs(form):
        matrix, left = form(keys, values, rates, decays, *initial)
        probe = torch.Generator().manual_seed(0)
        loss = sum(
            (part * torch.randn(part.shape, generator=probe, dtype=dtype)).sum()
            for part in (matrix, left)
        )
        leaves = (keys, values, rates, decays, *initial)
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True, allow_unused=True)
        return [matrix, left, *gradients]

    for ours, oracle in zip(outputs(gated_delta), outputs(gated_delta_loop), strict=True):
        torch.testing.assert_close(ours, oracle, **TOLERANCE[dtype])


def test_a_gated_delta_rule_that_forgets_nothing_is_the_delta_rule():
    keys, values, rates, initial = inputs((2, 3, 8, 12), 1, torch.float64, True)
    none = torch.zeros_like(rates[:, :1])
    torch.testing.assert_close(
        gated_delta(keys, values, rates, none, initial), delta(keys, values, rates, initial)
    )


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("with_initial", [False, True], ids=["from zero", "learned start"])
@pytest.mark.parametrize(("size", "rank"), [((2, 3, 16, 16), 4), ((2, 2, 8, 40), 5)], ids=str)
def test_parallel_rank_r_rule_equals_the_loop(size, rank, with_initial, dtype):
    assert_same(
        lambda k, v, b, initial: rank_r_delta(k, v, b, rank, initial),
        lambda k, v, b, initial: rank_r_delta_loop(k, v, b, rank, initial),
        inputs(size, 1, dtype, with_initial),
    )


def test_a_rank_r_step_reads_one_matrix_and_rank_one_is_the_delta_rule():
    keys, values, rates, initial = inputs((2, 3, 8, 12), 1, torch.float64, True)
    torch.testing.assert_close(
        rank_r_delta(keys, values, rates, 1, initial), delta(keys, values, rates, initial)
    )
    matrix, left = rank_r_delta(keys, values, rates, 12, initial)
    expected = rates * (values - keys @ initial.transpose(-1, -2))
    torch.testing.assert_close(left, expected)
    torch.testing.assert_close(matrix, initial + expected.transpose(-1, -2) @ keys)
    assert not torch.allclose(matrix, delta(keys, values, rates, initial)[0])


def test_delta_rule_with_rate_one_and_orthonormal_keys_stores_each_value_under_its_key():
    keys = torch.eye(8, dtype=torch.float64)[None, None]
    values = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    matrix = delta(keys, values, torch.ones(1, 1, 8, 1, dtype=torch.float64))[0]
    torch.testing.assert_close(matrix @ keys.transpose(-1, -2), values.transpose(-1, -2))


def test_delta_rule_overwrites_what_a_key_held():
    key = torch.zeros(1, 1, 2, 4, dtype=torch.float64)
    key[..., 1] = 1
    values = torch.randn(1, 1, 2, 4, dtype=torch.float64)
    matrix = delta(key, values, torch.ones(1, 1, 2, 1, dtype=torch.float64))[0]
    torch.testing.assert_close(matrix[0, 0, :, 1], values[0, 0, 1])
    assert matrix[0, 0, :, 0].abs().max() == 0


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
    matrix = painting.writing.matrix.double()
    torch.testing.assert_close(partial[:, -1], matrix, **tolerance)
    assert updates.shape[1] == steps * settings.updates
    start = 0 if painter.initial is None else painter.initial
    torch.testing.assert_close(start + updates.sum(1), matrix, **tolerance)
    assert torch.linalg.matrix_rank(updates, rtol=1e-5).max() <= 1
    rates = painting.writing.rates
    if options.get("rule") == "additive":
        assert rates.eq(1).all()
    elif painter.initial is None and options.get("rule") != "oja":
        first = settings.updates if options.get("rule") == "rank_r_delta" else 1
        assert rates[:, :, :first].eq(1).all()
        assert rates[:, :, first:].lt(1).all()


@pytest.mark.parametrize("size", [8, 64, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channel_count_is_painted(size, channels):
    painter = Painter(size, channels, PainterSettings(steps=5, latent_dim=4, hidden_size=8))
    image = painter(torch.randn(2, 4))
    assert image.shape == (2, channels, size, size)
    image.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in painter.parameters())


def test_triangular_systems_are_solved_row_by_row_for_onnx(monkeypatch):
    random = torch.Generator().manual_seed(0)
    system = torch.randn(2, 3, 7, 7, generator=random, dtype=torch.float64)
    targets = torch.randn(2, 3, 7, 5, generator=random, dtype=torch.float64)
    expected = torch.linalg.inv(system.tril(-1) + torch.eye(7, dtype=torch.float64)) @ targets
    for exporting in (False, True):
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda value=exporting: value)
        torch.testing.assert_close(solve_unit_lower(system, targets), expected)
