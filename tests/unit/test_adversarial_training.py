"""What one step of training does: losses, schedules, stages."""

import copy

import pytest
import torch
from conftest import TINY
from torch import nn

from fpa.models import loading
from fpa.models.adversarial_training import (
    AdversarialModel,
    d_hinge,
    ema_action,
    g_loss,
    gradient_penalty,
)
from fpa.models.discriminator import DiscriminatorOutput
from fpa.models.interface import Paints, Refines, StartsFromRun, StartsOthers
from fpa.models.settings import RecipeSettings


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


def test_hinge_pushes_real_down_and_fake_up_and_the_generator_pulls_fakes_down():
    real = DiscriminatorOutput(torch.tensor([0.5, -3.0]), torch.zeros(2), None)
    fake = DiscriminatorOutput(torch.tensor([2.0, 0.25]), torch.ones(2), None)
    # By hand: full image (1.5 + 0)/2 + (0 + 0.75)/2, view 1 + 0.
    assert d_hinge(real, fake).item() == pytest.approx(1.125 + 1)
    assert g_loss(fake).item() == pytest.approx(1.125 + 1)


def test_gradient_penalty_equals_a_loop_over_samples_with_finite_differences():
    weight = torch.randn(3, dtype=torch.float64)

    def judge(x):
        return DiscriminatorOutput((x.flatten(1) ** 2 @ weight), x.flatten(1).sum(1), None)

    x = torch.randn(4, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    expected, h = 0.0, 1e-5
    for sample in x.detach():
        slopes = []
        for i in range(3):
            up, down = sample.clone(), sample.clone()
            up[i] += h
            down[i] -= h
            high, low = judge(up[None]), judge(down[None])
            total = (high.logits + high.view_logits) - (low.logits + low.view_logits)
            slopes.append(total.item() / (2 * h))
        expected += (torch.tensor(slopes).norm().item() - 1) ** 2 / 4
    assert gradient_penalty(x, judge(x)).item() == pytest.approx(10 * expected, rel=1e-6)


def test_ema_schedule_is_the_published_one():
    settings = RecipeSettings()
    resets = [s for s in range(450_000) if ema_action(s, settings)[1]]
    updates = [s for s in range(20_000, 20_050) if ema_action(s, settings)[0]]
    assert resets[:2] == [2, 1002]
    assert resets[-1] == 24_002
    assert updates == [20_010, 20_020, 20_030, 20_040]
    assert not any(ema_action(s, settings)[0] for s in range(20_001))


def test_gradient_penalty_comes_on_every_fourth_step():
    model = build("fpa")
    with_penalty = [s for s in range(9) if "gradient_penalty" in model.step(images())]
    assert with_penalty == [0, 4, 8]


def test_ema_follows_the_generator_by_reset_and_by_decay():
    model = build("fpa")
    name, parameter = next(iter(model.generator.named_parameters()))
    average = dict(model.ema.named_parameters())[name]
    for _ in range(3):
        model.step(images())
    assert torch.equal(average, parameter)  # reset after step 2
    before = average.clone()
    for _ in range(4):
        model.step(images())
    # Steps 3 to 6: reset does not fall due again before the update of step 6 (> ema_start), which
    # is followed by that step's reset; so look at decay alone.
    model._average(0.9)
    assert not torch.equal(average, before)
    expected = average.clone().lerp(parameter, 0.1)
    model._average(0.9)
    torch.testing.assert_close(average, expected)


def test_ema_averages_batch_norm_statistics_too():
    model = build("lightgan")
    for _ in range(2):
        model.step(images())
    model._average(0.0)
    ours, theirs = model.ema.state_dict(), model.generator.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert any("running_var" in name for name in theirs)


def test_the_hinge_is_pooled_where_it_is_as_published():
    assert not build("fpa").pooled
    assert not build("lightgan").pooled
    assert build("fpa_unet").pooled
    assert build("fpa", partial_images=2).pooled


def test_unet_stage_trains_the_unet_on_a_frozen_painter():
    model = build("fpa_unet")
    painter = copy.deepcopy(model.generator.painter.state_dict())
    unet = copy.deepcopy(model.generator.unet.state_dict())
    for _ in range(7):
        model.step(images())
    for network in (model.generator, model.ema):
        for name, value in network.painter.state_dict().items():
            assert torch.equal(value, painter[name])
    assert any(not torch.equal(v, unet[k]) for k, v in model.generator.unet.state_dict().items())
    parts = model.paint(torch.randn(2, model.latent_dim))
    assert not torch.equal(parts["image"], parts["painted"])


@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "lightgan"])
def test_state_dict_holds_everything_that_the_next_steps_depend_on(name):
    one = build(name)
    for _ in range(5):
        one.step(images())
    state, random = copy.deepcopy(one.state_dict()), torch.get_rng_state()
    expected = [one.step(images()) for _ in range(6)]
    other = build(name)
    other.load_state_dict(state)
    torch.set_rng_state(random)
    assert [other.step(images()) for _ in range(6)] == expected
    for a, b in zip(one.networks.values(), other.networks.values(), strict=True):
        assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "lightgan"])
def test_models_implement_the_interface(name):
    model = build(name)
    for part in ("step", "to", "state_dict", "load_state_dict", "latent_dim"):
        assert hasattr(model, part)
    assert isinstance(model, Paints) == (name != "lightgan")
    assert isinstance(model, StartsFromRun) == (name == "fpa_unet")
    assert isinstance(model, StartsOthers) == (name == "fpa")
    assert isinstance(model, Refines) == (name == "fpa_unet")
    assert isinstance(model, AdversarialModel)
    image = model.ema(torch.randn(3, model.latent_dim))
    assert image.shape == (3, 1, 16, 16)
    assert set(model.networks) == {"generator", "ema", "discriminator"}
    assert all(isinstance(network, nn.Module) for network in model.networks.values())
