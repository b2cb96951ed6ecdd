"""What one step of training does: losses, schedules, stages, and what a configuration may change of it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import yaml
from conftest import TINY, assert_resumes
from test_golden import built

from fpa.core.errors import UserError
from fpa.models import adversarial_training, loading
from fpa.models.adversarial_training import augment, cut_out, ema_action, translate
from fpa.models.painter import Painter
from fpa.models.settings import PainterSettings, RecipeSettings, UNetSettings
from fpa.models.unet import RefinedPainter, UNet


@contextmanager
def float64() -> Iterator[None]:
    """Networks, draws and images in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def build(name: str, **changes):
    torch.manual_seed(0)
    model = TINY["models"][name]
    settings = {**copy.deepcopy(model["settings"]), **changes}
    base = None
    if name == "fpa_unet":
        found = loading.find_model(TINY["models"]["fpa"]["class"], "")
        base = loading.resolve_settings(found, TINY["models"]["fpa"]["settings"], "")
    return loading.build(model["class"], settings, 16, 1, base)


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_ema_schedule_is_the_published_one():
    settings = RecipeSettings()
    resets = [s for s in range(450_000) if ema_action(s, settings)[1]]
    updates = [s for s in range(20_000, 20_050) if ema_action(s, settings)[0]]
    assert resets[:2] == [2, 1002]
    assert resets[-1] == 24_002
    assert updates == [20_010, 20_020, 20_030, 20_040]
    assert not any(ema_action(s, settings)[0] for s in range(20_001))


@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "lightgan", "dcgan"])
def test_a_resumed_model_goes_on_with_the_same_bits(name):
    assert_resumes(lambda: built(name), [images(4) for _ in range(11)], at=5)


@pytest.mark.parametrize("size", [6, 7, 16])
def test_each_image_loses_a_square_and_is_moved_as_a_loop_would(size):
    generator = torch.Generator().manual_seed(size)
    x = torch.rand(40, 2, size, size, generator=generator) + 1
    where = torch.rand(40, 2, generator=generator)
    cut, moved = cut_out(x, where), translate(x, where)
    side, most = (size + 1) // 2, int(size / 8 + 0.5)
    for n in range(len(x)):
        # DiffAugment draws offsets below D + 1 - side % 2 and takes side // 2 from them.
        top, left = (int(u * (size + 1 - side % 2)) - side // 2 for u in where[n])
        down, right = (int(u * (2 * most + 1)) - most for u in where[n])
        for i in range(size):
            for j in range(size):
                gone = top <= i < top + side and left <= j < left + side
                assert torch.equal(cut[n, :, i, j], torch.zeros(2) if gone else x[n, :, i, j])
                inside = 0 <= i + down < size and 0 <= j + right < size
                source = x[n, :, i + down, j + right] if inside else torch.zeros(2)
                assert torch.equal(moved[n, :, i, j], source)


def test_an_augmentation_can_be_differentiated_twice():
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)

    def changed(images):
        torch.manual_seed(0)
        return augment(images, 1.0) ** 3

    assert torch.autograd.gradgradcheck(changed, (x,))


def test_a_share_of_batches_is_augmented_and_half_of_these_flipped(monkeypatch):
    monkeypatch.setattr(adversarial_training, "cut_out", lambda images, where: images + 1)
    monkeypatch.setattr(adversarial_training, "translate", lambda images, where: images)
    x = torch.rand(2, 1, 4, 4)
    torch.manual_seed(0)
    made = [augment(x, 0.3) for _ in range(2000)]
    whole = sum(torch.equal(image, x) for image in made)
    flipped = sum(torch.equal(image, x.flip(3) + 1) for image in made)
    # Five standard deviations of a binomial count.
    assert abs(whole - 1400) < 5 * (2000 * 0.3 * 0.7) ** 0.5
    assert abs(flipped - 300) < 5 * (2000 * 0.15 * 0.85) ** 0.5


def test_an_augmentation_of_probability_zero_draws_nothing():
    x = torch.rand(2, 1, 4, 4)
    state = torch.get_rng_state()
    assert augment(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_the_discriminator_sees_real_and_fake_images_augmented(monkeypatch):
    model = build("fpa", recipe={"augment_probability": 1.0})
    seen, forward = [], model.discriminator.forward
    monkeypatch.setattr(
        "fpa.models.adversarial_training.augment", lambda images, *_: images * 0 + 0.25
    )
    monkeypatch.setattr(
        model.discriminator,
        "forward",
        lambda images, *args, **kwargs: seen.append(images) or forward(images, *args, **kwargs),
    )
    for _ in range(2):  # with penalty and without
        model.step(images())
    assert len(seen) == 5
    assert all(bool((batch == 0.25).all()) for batch in seen)


def test_a_step_in_several_passes_is_that_on_the_whole_batch(monkeypatch):
    with float64():
        whole, parts = build("fpa"), build("fpa", recipe={"accumulation": 3})
        z = torch.randn(2, 6, whole.latent_dim)
        drawn = {id(whole): list(z), id(parts): [part for step in z for part in step.split(2)]}
        for model in (whole, parts):
            monkeypatch.setattr(model, "latents", lambda n, m=model: drawn[id(m)].pop(0)[:n])
        real = images(6).double()
        expected, found = whole.step(real.clone()), parts.step(real.clone())
        assert not any(drawn.values())
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value)
        before = build("fpa").networks
        for name, network in whole.networks.items():
            for path, value in network.state_dict().items():
                # Adam's first step has the length of the learning rate whatever the gradient's:
                # what rounding leaves of a gradient of zero must be small beside its epsilon.
                torch.testing.assert_close(
                    parts.networks[name].state_dict()[path], value, atol=1e-9, rtol=0
                )
            changed = not all(
                torch.equal(value, before[name].state_dict()[path])
                for path, value in network.state_dict().items()
            )
            assert changed == (name != "ema")


def longest_moves(model) -> dict[str, float]:
    """How far the first step moves each part: Adam's first step has the learning rate's length."""
    parts = {
        "discriminator": model.discriminator,
        "painter": model.generator.painter,
        "unet": model.generator.unet,
    }
    before = copy.deepcopy({name: part.state_dict() for name, part in parts.items()})
    model.step(images())
    return {
        name: max((v - before[name][k]).abs().max().item() for k, v in part.state_dict().items())
        for name, part in parts.items()
    }


def test_the_networks_may_learn_at_different_rates():
    model = build(
        "fpa_unet",
        recipe={"learning_rate": 1e-4, "discriminator_rate_factor": 3.0},
        refining={"painter": "trained", "gradient_into_painter": True, "unet_learning_rate": 5e-4},
    )
    # Weights of order 1 in float32 have a precision of 1e-7.
    assert longest_moves(model) == pytest.approx(
        {"discriminator": 3e-4, "painter": 1e-4, "unet": 5e-4}, abs=2e-7
    )


@pytest.mark.parametrize("tanh", [False, True], ids=["no tanh", "tanh"])
@pytest.mark.parametrize("before", [None, False, True], ids=["as the image", "none", "tanh before"])
def test_the_unet_gets_the_painters_image_with_the_tanh_that_is_set(tanh, before):
    torch.manual_seed(0)
    painter = Painter(8, 1, PainterSettings(steps=3, latent_dim=4, tanh_image=tanh))
    unet = UNet(8, 1, UNetSettings(max_multiplier=1, tanh_input=before))
    model, z = RefinedPainter(painter, unet), torch.randn(2, 4)
    matrix = painter.paint(z).rule_output.matrix
    expected = unet(matrix.tanh() if (tanh if before is None else before) else matrix)
    torch.testing.assert_close(model(z), expected.tanh() if tanh else expected)
    torch.testing.assert_close(model(z, True)[:2], matrix.tanh() if tanh else matrix)


@pytest.mark.parametrize(
    ("factor", "part"), [("lstm_init_factor", "sequence"), ("kvb_init_factor", "to_kvb")]
)
def test_starts_can_be_scaled(factor, part):
    small = {"steps": 3, "latent_dim": 4, "hidden_size": 8}
    starts = []
    for settings in ({}, {factor: 3.0}):
        torch.manual_seed(0)
        starts.append(Painter(8, 1, PainterSettings(**small, **settings)).program.state_dict())
    for path, value in starts[0].items():
        scaled = path.startswith(part)
        torch.testing.assert_close(starts[1][path], 3 * value if scaled else value)


REFUSED = [
    ("fpa_unet", "no loss reaches the painter", "refining: {painter: trained}"),
    ("fpa_unet", "a frozen one takes none", "refining: {gradient_into_painter: true}"),
    ("fpa_unet", "a U-Net on a frozen painter", "refining: {unet_learning_rate: 1.0e-4}"),
    ("fpa", "more than the painter's steps, 4", "partial_images: 5"),
    ("fpa", "needs partial_images above 1", "scale_partial_images: true"),
    ("fpa", "a rule without a decay: g", "{painter: {rule: gated_delta}, partial_images: 2}"),
    ("fpa", "updates above 1 needs rule: delta_product or", "painter: {updates: 2}"),
    ("fpa", "latent_dim 10 is not a mul", "painter: {inputs: split, latent_dim: 10, steps: 4}"),
    ("fpa", "30 is not a multiple of heads 8", "painter: {sequence: rfwp, hidden_size: 30}"),
    ("fpa", "all its steps come out the same", "painter: {inputs: v1, sequence: transformer}"),
    ("fpa", "needs sequence: lstm", "painter: {sequence: rfwp, lstm_init_factor: 2.0}"),
    ("fpa", "scales the published start", "painter: {rule: additive, kvb_init_factor: 2.0}"),
]


@pytest.mark.parametrize(("name", "reason", "settings"), REFUSED)
def test_combinations_without_sense_are_refused_with_the_reason(name, reason, settings):
    with pytest.raises(UserError, match=reason):
        build(name, **yaml.safe_load(settings))
