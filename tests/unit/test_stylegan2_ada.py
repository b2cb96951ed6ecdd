"""StyleGAN2-ADA: against published numbers, slow loops, and what the method says must happen."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import assert_resumes
from reference import STYLEGAN2_DISCRIMINATOR, STYLEGAN2_GENERATOR, Reference
from test_adversarial_training import float64

from baselines.stylegan2_ada import StyleGAN2ADA, augment
from baselines.stylegan2_ada.augment import Augmentation
from baselines.stylegan2_ada.layers import BLUR, kernel, modulated, resample, resampling, smooth
from baselines.stylegan2_ada.networks import Discriminator, Generator, minibatch_deviation
from baselines.stylegan2_ada.networks import widths as layer_widths
from baselines.stylegan2_ada.settings import AugmentSettings, NetworkSettings, RecipeSettings, fill
from fpa.core import distributed
from fpa.core.errors import UserError
from fpa.evaluation.run_artifacts import interpolations
from fpa.evaluation.sampling import sample
from fpa.models import loading

CPU = torch.device("cpu")
NETWORKS = NetworkSettings(latent_dim=8, w_dim=8, channel_base=64, channel_max=8)


def build(size: int = 8, **settings) -> StyleGAN2ADA:
    torch.manual_seed(0)
    settings = {"networks": NETWORKS, **settings}
    return StyleGAN2ADA(image_size=size, channels=1, **settings)


def images(count: int = 8, size: int = 8, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


# Published numbers. Images to 1e-5, logits and R1 to 1e-4 of their scale: both sides are float32.


def test_the_generator_makes_the_published_image(monkeypatch):
    reference = Reference("stylegan2_generator")
    # The published image has fixed noise: it stands in for what would be drawn, layer by layer.
    layers = ["b4.conv1", *(f"b{size}.conv{n}" for size in (8, 16, 32) for n in (0, 1))]
    noise = iter([reference[f"state/synthesis.{layer}.noise_const"] for layer in layers])
    monkeypatch.setattr(distributed, "randn_like", lambda maps: next(noise).expand_as(maps))
    generator = Generator(32, 3, 32, 32, 2, 512, 32).eval()
    reference.load(generator, STYLEGAN2_GENERATOR)
    torch.testing.assert_close(generator.styles(reference["z"]), reference["w"], atol=1e-5, rtol=0)
    made = generator(reference["z"]) * 2 - 1
    torch.testing.assert_close(made, reference["image"], atol=1e-5, rtol=0)
    generator.truncation = 0.7
    torch.testing.assert_close(
        generator.styles(reference["z"]), reference["w_truncated_07"], atol=1e-5, rtol=0
    )


def test_the_discriminator_judges_as_published():
    reference = Reference("stylegan2_discriminator")
    discriminator = Discriminator(32, 3, 512, 32, deviation_group=4)
    reference.load(discriminator, STYLEGAN2_DISCRIMINATOR)
    image = reference["image"].requires_grad_()
    logits = discriminator(image)
    scale = reference["logits"].abs().max().item()
    torch.testing.assert_close(logits, reference["logits"], atol=1e-4 * scale, rtol=0)
    (slope,) = torch.autograd.grad(logits.sum(), image)
    penalty = slope.square().sum((1, 2, 3))
    torch.testing.assert_close(penalty, reference["r1_penalty"], atol=0, rtol=1e-4)


@pytest.mark.parametrize("percentile", [20, 50, 80, 95])
def test_the_augmentations_are_the_published_ones(percentile, monkeypatch):
    """With every number at a percentile of its distribution, but for the second turn, which is none."""

    def even(draws, count):
        return torch.full((draws.batch, count), percentile / 100)

    def geometry(draws, draw=augment._draw_geometry):
        return draw(draws) * torch.tensor([1] * 7 + [0] + [1] * 2)

    monkeypatch.setattr(augment.Draws, "_even", even)
    monkeypatch.setattr(augment.Draws, "_normal", lambda d, n: torch.erfinv(even(d, n) * 2 - 1))
    monkeypatch.setattr(augment, "_draw_geometry", geometry)
    reference = Reference("stylegan2_ada_augment")
    augmentation = Augmentation()
    augmentation.p.fill_(1)
    out = augmentation(reference["image"])
    expected = reference[f"out_percentile_{percentile}"]
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


# Slow loops --------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1), (-1, 3)])
@pytest.mark.parametrize("flip", [False, True])
def test_resampling_equals_zeros_padding_and_a_convolution(up, down, padding, flip):
    taps = (1.0, 5.0, 2.0, 0.5)
    line = np.random.default_rng(0).normal(size=9)
    spread = np.zeros(9 * up)
    spread[::up] = line
    before, after = padding
    padded = np.pad(spread, (max(before, 0), max(after, 0)))[max(-before, 0) :]
    kernel = np.array(taps) / sum(taps) * up
    expected = np.convolve(padded, kernel[::-1] if flip else kernel, mode="valid")[::down]
    matrix = resampling(taps, 9, up, down, padding, flip, CPU, torch.float64)
    np.testing.assert_allclose(matrix.numpy() @ line, expected, atol=1e-12)
    square = torch.from_numpy(np.outer(line, line))[None, None]
    found = resample(square, taps, up, down, padding, flip)[0, 0]
    np.testing.assert_allclose(found.numpy(), np.outer(expected, expected), atol=1e-12)


def test_what_an_evaluation_resampled_first_can_still_be_trained_through():
    for cache, form in (
        (resampling, lambda x: resample(x, BLUR)),
        (kernel, lambda x: smooth(x, padding=1)),
    ):
        cache.cache_clear()
        with torch.inference_mode():
            form(torch.ones(1, 1, 5, 5))
        x = torch.ones(1, 1, 5, 5, requires_grad=True)
        form(x).sum().backward()
        assert x.grad is not None


@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize("padding", [1, 2])
def test_smoothing_is_resampling_and_so_are_its_derivatives(down, padding):
    x = torch.randn(2, 3, 9, 7, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(
        smooth(x, padding, down), resample(x, BLUR, down=down, padding=(padding, padding))
    )
    torch.testing.assert_close(smooth(x.detach(), padding, down), smooth(x, padding, down))
    assert torch.autograd.gradcheck(lambda x: smooth(x, padding, down), (x,))
    assert torch.autograd.gradgradcheck(lambda x: smooth(x, padding, down).sin(), (x,))


@pytest.mark.parametrize("up", [False, True])
def test_modulation_equals_own_weights_for_every_sample(up):
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, 6, 6), torch.randn(5, 4, 3, 3)
    styles = torch.randn(3, 4)
    maps, factors = modulated(x, weight, styles, up)
    found = maps * factors
    for i in range(3):
        own = weight * styles[i][None, :, None, None]
        own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = torch.nn.functional.conv_transpose2d(x[i : i + 1], own.transpose(0, 1), stride=2)
            expected = resample(4 * wide, BLUR, padding=(1, 1))
        else:
            expected = torch.nn.functional.conv2d(x[i : i + 1], own, padding=1)
        torch.testing.assert_close(found[i : i + 1], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("batch", "group", "used"), [(8, 4, 4), (6, 4, 2), (3, 4, 3), (5, 4, 1)])
def test_minibatch_deviation_equals_a_loop_over_groups(batch, group, used):
    x = torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = minibatch_deviation(x, group)
    assert found.shape == (batch, 1, 4, 4)
    groups = batch // used
    for i in range(groups):
        members = x[i::groups]
        deviation = (members.var(0, unbiased=False) + 1e-8).sqrt().mean()
        for map_ in found[i::groups]:
            torch.testing.assert_close(map_, deviation.expand(1, 4, 4))


def test_the_augmentations_can_be_differentiated_twice():
    augmentation = Augmentation().double()
    augmentation.p.fill_(0.8)

    def augment(x):
        torch.manual_seed(0)
        return augmentation(x)

    x = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    with float64():
        assert torch.autograd.gradcheck(augment, (x,))
        assert torch.autograd.gradgradcheck(augment, (x,))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("p", [0, 0.02, 1])
def test_only_the_images_that_something_was_drawn_for_are_changed(p, channels, monkeypatch):
    """As on a GPU, which changes all of them: the wavelet is orthonormal, so that neutral numbers
    change an image by rounding only."""
    x = (torch.rand(32, channels, 16, 16) * 2 - 1).requires_grad_()
    weights = torch.randn_like(x)
    augmentation = Augmentation()
    augmentation.p.fill_(p)
    changed = []

    def augmented():
        torch.manual_seed(0)
        made = augmentation(x)
        (slope,) = torch.autograd.grad((made.square() * weights).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        return made, slope, second, torch.rand(())

    def count(change, images, drawn, neutral):
        rows = (drawn != torch.tensor(neutral)).any(1)
        changed.append(rows.sum().item())
        return change(images, drawn)

    found = augmented()
    monkeypatch.setattr(augment, "drawn_only", count)
    for ours, theirs in zip(found, augmented(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=0)
    few = {0: 0, 0.02: 8, 1: 32}[p]
    assert all(few / 8 <= rows <= few for rows in changed)
    untouched = (found[0] == x).all(dim=(1, 2, 3)).sum()
    assert untouched >= 32 - sum(changed)


def test_augmentations_apply_as_often_as_p_says():
    x = torch.rand(4000, 1, 4, 4) * 2 - 1
    augmentation = Augmentation()
    augmentation.p.fill_(0.1)
    torch.manual_seed(0)
    changed = (augmentation(x) - Augmentation()(x)).abs().amax((1, 2, 3)) > 1e-3
    # Flip 1/2, quarter turns 3/4 and luma flip 1/2 of p show; seven more all of it.
    untouched = (1 - 0.05) * (1 - 0.075) * (1 - 0.05) * 0.9**6
    assert 1 - changed.float().mean().item() == pytest.approx(untouched, abs=0.05)


# The recipe --------------------------------------------------------------------------------------


def test_presets_are_the_published_ones():
    """Those of stylegan2-ada, and --cfg=stylegan2 of stylegan3, which requires gamma and batch."""

    def have(settings, preset: str, **expected) -> None:
        found = fill(settings, preset, 64)
        assert {name: getattr(found, name) for name in expected} == expected

    have(
        RecipeSettings(),
        "auto",
        ema_kimg=10,
        ema_rampup=0.05,
        style_mixing=0.9,
        learning_rate=0.0025,
    )
    have(RecipeSettings(r1_gamma=3.0), "auto", r1_gamma=3)
    have(RecipeSettings(), "paper256", r1_gamma=1)
    have(NetworkSettings(), "paper256", mapping_layers=8)
    have(RecipeSettings(), "cifar", path_length_weight=0, style_mixing=0, r1_gamma=0.01)
    have(NetworkSettings(), "cifar", residual=False)
    sizes = {"latent_dim": 512, "w_dim": 512, "channel_base": 32768, "channel_max": 512}
    have(
        NetworkSettings(), "stylegan2", mapping_layers=8, deviation_group=4, residual=True, **sizes
    )
    steps = {"path_length_weight": 2, "path_length_every": 4, "r1_every": 16}
    rates = {"learning_rate": 0.002, "betas": (0, 0.99), "style_mixing": 0.9, "ema_rampup": 0.05}
    have(RecipeSettings(), "stylegan2", **steps, **rates)
    have(AugmentSettings(), "auto", enabled=True, target=0.6, every=4, kimg=500)
    for size, gamma, half_life in ((32, 0.0064, 10), (64, 0.0256, 10), (256, 0.8192, 5)):
        recipe = fill(RecipeSettings(), "auto", size)
        assert (recipe.r1_gamma, recipe.ema_kimg) == (pytest.approx(gamma), half_life)


def test_sizes_at_64_px_follow_the_published_widths():
    settings = fill(NetworkSettings(), "auto", 64)
    with torch.device("meta"):
        model = StyleGAN2ADA(image_size=64, channels=3)
    widths = [block.second.weight.shape[0] for block in model.generator.synthesis.blocks]
    assert widths == [512, 512, 512, 512, 256]
    assert set(layer_widths(64, 32768, 512).values()) == {512}
    assert model.generator.synthesis.layers == 10
    assert settings.deviation_group == 4


def test_p_moves_by_the_stated_amount_and_never_below_zero():
    model = build(augment=AugmentSettings(kimg=2.0, every=2))
    model.signs = torch.tensor([7.0, 10.0])
    model._adapt(8)
    assert model.augmentation.p.item() == pytest.approx(8 * 2 / 2000)
    for _ in range(3):
        model.signs = torch.tensor([5.0, 10.0])
        model._adapt(8)
    assert model.augmentation.p.item() == 0


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


def test_a_resumed_model_goes_on_with_the_same_bits():
    assert_resumes(build, [images(seed=i) for i in range(40)], at=18)


def test_samples_draw_noise_as_the_published_metrics_do_and_a_seed_gives_the_same_ones():
    model = build()
    for layer in (m for m in model.ema.modules() if hasattr(m, "noise_strength")):
        layer.noise_strength.fill_(0.5)
    z = torch.randn(1, 8).expand(2, -1)
    first, second = model.ema(z)
    assert not torch.equal(first, second)
    one, other = (sample(model.ema, 8, 5, 0, CPU) for _ in range(2))
    assert np.array_equal(one, other)


def test_an_interpolation_has_the_same_noise_in_every_frame():
    class Noise(torch.nn.Module):
        def forward(self, z):
            return torch.rand(len(z), 1, 4, 4)

    noise = SimpleNamespace(ema=Noise(), latent_dim=8)
    frames = interpolations(noise, 2, 3, 0, CPU)
    assert np.array_equal(frames[:, 0], frames[:, 1])
    assert np.array_equal(frames[:, 0], frames[:, 2])
    assert not np.array_equal(frames[0], frames[1])


def test_it_is_named_in_a_configuration_and_checked_there():
    name = "baselines.stylegan2_ada:StyleGAN2ADA"
    found = loading.find_model(name, "class")
    settings = loading.resolve_settings(found, {"preset": "cifar"}, "settings")
    assert settings["networks"]["channel_max"] == 512
    with pytest.raises(UserError, match=r"settings\.preset"):
        loading.resolve_settings(found, {"preset": "paper"}, "settings")
    small = {"networks": NETWORKS.model_dump()}
    model = loading.build(name, small, 16, 3)
    losses = model.step(torch.rand(4, 3, 16, 16))
    assert set(losses) == {"g_loss", "path_length", "d_loss", "r1", "ada_p"}
    assert all(math.isfinite(value) for value in losses.values())
