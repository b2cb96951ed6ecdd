"""StyleGAN2-ADA's training, point by point as in the published code: formulas against slow ones."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from baselines.stylegan2_ada import StyleGAN2ADA
from baselines.stylegan2_ada.networks import widths
from baselines.stylegan2_ada.settings import (
    AugmentSettings,
    NetworkSettings,
    RecipeSettings,
    fill,
)
from fpa.evaluation.run_artifacts import interpolate

NETWORKS = NetworkSettings(latent_dim=4, w_dim=4, channel_base=32, channel_max=4)


@pytest.fixture(autouse=True)
def float64():
    """Slow formulas and ours then differ by what differentiating twice leaves of 16 digits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(**settings) -> StyleGAN2ADA:
    torch.manual_seed(0)
    model = StyleGAN2ADA(image_size=8, channels=1, **{"networks": NETWORKS, **settings})
    for layer in model.generator.modules():
        if hasattr(layer, "noise_strength"):
            # Zero at the start, where much of what noise does would not show.
            nn.init.constant_(layer.noise_strength, 0.3)
    return model


def images(count: int = 8) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


# Presets -----------------------------------------------------------------------------------------


def test_the_papers_stylegan2_is_the_stylegan3_codes():
    """--cfg=stylegan2 there; gamma and batch are arguments that it requires."""
    networks = fill(NetworkSettings(), "stylegan2", 64)
    assert (networks.mapping_layers, networks.latent_dim, networks.w_dim) == (8, 512, 512)
    assert (networks.channel_base, networks.channel_max) == (32768, 512)
    assert (networks.deviation_group, networks.residual) == (4, True)
    recipe = fill(RecipeSettings(), "stylegan2", 64)
    assert (recipe.learning_rate, recipe.betas) == (0.002, (0, 0.99))
    assert (recipe.path_length_weight, recipe.path_length_every, recipe.r1_every) == (2, 4, 16)
    assert (recipe.style_mixing, recipe.ema_rampup) == (0.9, 0.05)
    augment = AugmentSettings()
    assert (augment.enabled, augment.target, augment.every, augment.kimg) == (True, 0.6, 4, 500)
    assert set(widths(64, networks.channel_base, networks.channel_max).values()) == {512}


def test_the_papers_stylegan2_has_its_gamma_and_half_life_from_the_batch(monkeypatch):
    model, given = build(preset="stylegan2"), []
    step = model._r1_step
    monkeypatch.setattr(model, "_r1_step", lambda x, g: given.append(g) or step(x, g))
    model.step(images(4))
    assert given == [pytest.approx(0.0002 * 8 * 8 / 4)]
    model.images = 10_000_000
    before = copy.deepcopy(model.ema)
    model._average(4)
    decay = 0.5 ** (4 / (4 * 10 / 32 * 1000))
    for ours, old, new in zip(
        model.ema.parameters(), before.parameters(), model.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, new + decay * (old - new))
    model.recipe = model.recipe.model_copy(update={"r1_gamma": 7.0})
    model.steps = 0
    model.step(images(4))
    assert given[1:] == [7.0]


@pytest.mark.parametrize(
    ("size", "gamma", "half_life"), [(32, 0.0064, 10), (64, 0.0256, 10), (256, 0.8192, 5)]
)
def test_auto_follows_its_own_batch_for_one_gpu(size, gamma, half_life):
    recipe = fill(RecipeSettings(), "auto", size)
    assert recipe.r1_gamma == pytest.approx(gamma)
    assert recipe.ema_kimg == half_life


@pytest.mark.parametrize(("preset", "decay"), [("auto", 0.995), ("stylegan2", 0.998)])
def test_the_mean_w_follows_the_passes_of_the_published_code(preset, decay):
    model = build(preset=preset)
    seen: list[Tensor] = []
    model.generator.mapping.register_forward_hook(lambda _, __, w: seen.append(w.detach()))
    model.recipe = model.recipe.model_copy(update={"style_mixing": 0.0})
    model.step(images())
    generator_pass, path_length_pass, discriminator_pass = seen
    # stylegan2-ada: every pass; stylegan3: the discriminator's alone.
    passes = seen if preset == "auto" else [discriminator_pass]
    assert path_length_pass.shape[0] == generator_pass.shape[0] // 2
    expected = torch.zeros(4)
    for w in passes:
        expected = decay * expected + (1 - decay) * w.mean(0)
    torch.testing.assert_close(model.generator.mapping.w_average, expected)


# Path length -------------------------------------------------------------------------------------

DECAY = 0.3
"""Of the mean length: its share of the gradient then shows."""
COUNT = 2


def path_lengths() -> StyleGAN2ADA:
    recipe = RecipeSettings(path_length_decay=DECAY, style_mixing=1.0, path_length_weight=2.0)
    model = build(recipe=recipe)
    model.path_length = torch.tensor(0.4)
    return model


def literal_penalty(model: StyleGAN2ADA, parameters: dict[str, Tensor], seed: int) -> Tensor:
    """2 * mean((|slope| - a)^2), each entry of the slopes by a pass of its own, forwards."""
    torch.manual_seed(seed)
    synthesis, mapping = model.generator.synthesis, model.generator.mapping
    split = [
        {k.removeprefix(p): v for k, v in parameters.items() if k.startswith(p)}
        for p in ("mapping.", "synthesis.")
    ]
    to_w = partial(functional_call, mapping, split[0])
    z = torch.randn(COUNT, 4)
    assert torch.rand(()) < 1
    start = int(torch.randint(1, synthesis.layers, ()))
    first, second = to_w(z), to_w(torch.randn(COUNT, 4))
    ws = torch.stack([first if n < start else second for n in range(synthesis.layers)], dim=1)
    noise_state = torch.get_rng_state()

    def paint(ws: Tensor) -> Tensor:
        torch.set_rng_state(noise_state)
        return functional_call(synthesis, split[1], ws)

    paint(ws)
    y = torch.randn(COUNT, 1, 8, 8) / math.sqrt(8 * 8)
    squares = torch.zeros(COUNT)
    for layer in range(ws.shape[1]):
        for entry in range(ws.shape[2]):
            tangent = torch.zeros_like(ws)
            tangent[:, layer, entry] = 1
            _, along = jvp(paint, (ws,), (tangent,))
            squares = squares + (along * y).sum((1, 2, 3)).square()
    lengths = (squares / ws.shape[1]).sqrt()
    mean = 0.4 + DECAY * (lengths.mean() - 0.4)
    return 2 * (lengths - mean).square().mean()


@pytest.mark.slow
def test_the_path_length_penalty_and_its_gradient_are_those_of_a_slow_formula():
    model = path_lengths()
    before = {k: v.detach().clone() for k, v in model.generator.named_parameters()}
    torch.manual_seed(5)
    penalty = model._path_length_step(COUNT)
    # The optimizer's step has 4 times the penalty: it comes on every fourth step.
    gradients = {k: v.grad / 4 for k, v in model.generator.named_parameters()}
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        torch.testing.assert_close(penalty, literal_penalty(model, before, 5))
        kinds = {name: name.split(".", 4)[-1] for name in before}
        for kind in sorted(set(kinds.values())):
            along = {
                name: torch.randn(value.shape, generator=generator)
                for name, value in before.items()
                if kinds[name] == kind
            }
            up, down = (
                literal_penalty(model, before | {k: before[k] + h * d for k, d in along.items()}, 5)
                for h in (1e-6, -1e-6)
            )
            ours = sum((gradients[name] * direction).sum() for name, direction in along.items())
            # Central differences leave 1e-6 of the size of the gradients.
            torch.testing.assert_close(ours, (up - down) / 2e-6, rtol=1e-5, atol=1e-7, msg=kind)


def conv_without(flag: dict, transposed: bool):
    """A convolution whose backward can leave out the weight's gradient, like the published one."""
    inner = nn.functional.conv_transpose2d if transposed else nn.functional.conv2d
    outer = nn.functional.conv2d if transposed else nn.functional.conv_transpose2d

    class Conv(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, stride, padding):
            ctx.save_for_backward(x, weight)
            ctx.how = {"stride": stride, "padding": padding}
            return inner(x, weight, **ctx.how)

        @staticmethod
        def backward(ctx, gradient):
            x, weight = ctx.saved_tensors
            of_x = outer(gradient, weight, **ctx.how)
            if flag["left out"]:
                flag["count"] += 1
                return of_x, None, None, None
            with torch.enable_grad():
                leaf = weight.detach().requires_grad_()
                made = inner(x.detach(), leaf, **ctx.how)
            return of_x, torch.autograd.grad(made, leaf, gradient)[0], None, None

    return lambda x, weight, stride=1, padding=0: Conv.apply(x, weight, stride, padding)


def test_leaving_out_weight_gradients_in_the_slope_changes_no_number(monkeypatch):
    """The published code does so for speed (pl_no_weight_grad)."""
    ours, theirs = path_lengths(), path_lengths()
    torch.manual_seed(5)
    expected = ours._path_length_step(COUNT)
    flag = {"left out": False, "count": 0}
    convs = [conv_without(flag, transposed) for transposed in (False, True)]
    plain = nn.functional.conv2d

    def conv2d(x, weight, bias=None, groups=1, **how):
        if groups > 1:  # the filter, which has no parameters
            return plain(x, weight, bias, groups=groups, **how)
        return convs[0](x, weight, **how) + (0 if bias is None else bias[:, None, None])

    monkeypatch.setattr(nn.functional, "conv2d", conv2d)
    monkeypatch.setattr(nn.functional, "conv_transpose2d", convs[1])
    grad = torch.autograd.grad

    def slope(*arguments, **options):
        flag["left out"] = "create_graph" in options
        try:
            return grad(*arguments, **options)
        finally:
            flag["left out"] = False

    monkeypatch.setattr(torch.autograd, "grad", slope)
    torch.manual_seed(5)
    torch.testing.assert_close(theirs._path_length_step(COUNT), expected)
    assert flag["count"] > 0
    for (name, a), b in zip(
        ours.generator.named_parameters(), theirs.generator.parameters(), strict=True
    ):
        torch.testing.assert_close(a.grad, b.grad, msg=lambda text, name=name: f"{name}: {text}")


# Signs, gradients, noise -------------------------------------------------------------------------


def test_adas_signs_are_those_of_every_pass_over_real_images(monkeypatch):
    model, logits = build(), []
    judge = model.discriminator.forward

    def watched(x, parts=1):
        logits.append(judge(x, parts))
        return logits[-1]

    monkeypatch.setattr(model.discriminator, "forward", watched)
    model.step(images())
    _, on_both, in_r1 = logits
    expected = on_both[: len(on_both) // 2].sign().sum() + in_r1.sign().sum()
    assert model.signs.tolist() == [expected.item(), 16]
    model.step(images())
    assert model.signs[1] == 24


def test_real_and_generated_images_in_one_pass_are_judged_as_in_two():
    discriminator = build().discriminator.double()
    real, fake = images().double(), torch.rand_like(images()).double()
    both = discriminator(torch.cat([real, fake]), parts=2)
    torch.testing.assert_close(both, torch.cat([discriminator(real), discriminator(fake)]))


def test_gradients_that_are_not_finite_are_replaced_as_published():
    model = build()
    bias = model.discriminator.output.bias
    other = next(p for p in model.discriminator.parameters() if p.numel() >= 4)
    weights = torch.ones(other.numel())
    weights[:4] = torch.tensor([math.nan, math.inf, -math.inf, 2.0])
    model._update(model.discriminator_optimizer, (other.flatten() * weights).sum() + 3 * bias.sum())
    assert other.grad.flatten()[:4].tolist() == [0, 1e5, -1e5, 2]
    assert bias.grad.tolist() == [3]
    assert all(p.isfinite().all() for p in model.discriminator.parameters())


def test_an_interpolation_has_the_same_noise_in_every_frame():
    class Noise(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.rand(len(z), 1, 4, 4)

    frames = interpolate(Noise(), 8, 2, 3, 0, torch.device("cpu"))
    assert np.array_equal(frames[:, 0], frames[:, 1])
    assert np.array_equal(frames[:, 0], frames[:, 2])
    assert not np.array_equal(frames[0], frames[1])
