"""What the U-Net stage starts from: the best checkpoint of a painter's run, kept whole."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from test_adversarial_training import build, images

from fpa.data.sampler import EpochSampler
from fpa.experiment.plan import Plan
from fpa.models import loading
from fpa.models.adversarial_training import optimizer_tensors
from fpa.runs.folder import RunFolder
from fpa.runs.generators import restore
from fpa.training.loop import Training
from fpa.training.train_run import train

CPU = torch.device("cpu")
BEST, STEPS, WATCHED = 10, 20, 5
"""The step of the best quick score, all steps, and steps between quick scores."""


def networks_of(model) -> dict[str, dict[str, torch.Tensor]]:
    """The state of a painter's run that the U-Net stage may ask for, as it is now."""
    states = {name: network.state_dict() for name, network in model.networks.items()}
    return copy.deepcopy({**states, **model.start_for_others()})


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> tuple[Path, dict, dict]:
    """A painter's finished run, and its state at its best step and at the end."""
    config = copy.deepcopy(TINY)
    config["training"] |= {"kimg": STEPS * 0.008, "watch_kimg": WATCHED * 0.008}
    run = Plan({**config, "results": "somewhere/else"}).runs[0]
    pictures = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16), np.uint8)
    at: dict[int, dict] = {}

    def watch(generator):
        at[one.step] = networks_of(one.model)
        return {"fid": 1.0 if one.step == BEST else 2.0}

    one = Training(run, EpochSampler(pictures, 8, 0), "of these images", CPU, 100, watch)
    folder = tmp_path_factory.mktemp("painter")
    train(one, folder)
    return folder, at[BEST], at[STEPS]


def assert_same(found, expected) -> None:
    torch.testing.assert_close(dict(found), dict(expected), atol=0, rtol=0)


def adam_state(model) -> dict[str, torch.Tensor]:
    return optimizer_tensors(model.discriminator_optimizer, model.discriminator)


def test_a_finished_painter_keeps_what_its_best_checkpoint_was(base):
    folder, best, last = base
    kept = RunFolder(folder).read_weights()
    assert_same(kept["best"], best["ema"])
    for name in ("generator", "discriminator", "discriminator_optimizer"):
        assert_same(kept[f"best_{name}"], best[name])
        assert_same(kept[name], last[name])
        assert any(not torch.equal(value, last[name][key]) for key, value in best[name].items())
    assert {key.partition(".")[0] for key in best["discriminator_optimizer"]} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
    }


def test_the_stage_starts_as_published_from_the_best_checkpoint(base):
    folder, best, _ = base
    model = build("fpa_unet")
    model.start_from(RunFolder(folder).read_weights())
    assert_same(model.generator.painter.state_dict(), best["generator"])
    assert_same(model.discriminator.state_dict(), best["discriminator"])
    assert_same(adam_state(model), best["discriminator_optimizer"])
    assert model.generator_optimizer.state_dict()["state"] == {}
    # The EMA copy has the EMA painter until it is set to the generator, behind step 2.
    for step in range(3):
        assert_same(model.ema.painter.state_dict(), best["ema"])
        assert model.steps == step
        model.step(images())
    assert_same(model.ema.state_dict(), model.generator.state_dict())
    assert_same(model.ema.painter.state_dict(), best["generator"])


@pytest.mark.parametrize(
    ("start", "painter", "discriminator", "moments"),
    [
        ({"painter": "ema"}, ("best", "ema"), "best", "best"),
        ({"checkpoint": "last"}, ("last", "generator"), "last", "last"),
        ({"checkpoint": "last", "painter": "ema"}, ("last", "ema"), "last", "last"),
        ({"discriminator": "afresh"}, ("best", "generator"), None, None),
        ({"discriminator_optimizer": "afresh"}, ("best", "generator"), "best", None),
    ],
    ids=str,
)
def test_variants_of_the_start(base, start, painter, discriminator, moments):
    folder, best, last = base
    states = {"best": best, "last": last}
    model = build("fpa_unet", start=start)
    new = copy.deepcopy(model.discriminator.state_dict())
    model.start_from(RunFolder(folder).read_weights())
    checkpoint, network = painter
    assert_same(model.generator.painter.state_dict(), states[checkpoint][network])
    assert_same(model.ema.painter.state_dict(), states[checkpoint]["ema"])
    expected = states[discriminator]["discriminator"] if discriminator else new
    assert_same(model.discriminator.state_dict(), expected)
    kept = states[moments]["discriminator_optimizer"] if moments else {}
    assert_same(adam_state(model), kept)


@pytest.mark.parametrize("painter", ["raw", "ema"])
def test_images_before_the_unet_are_the_scored_checkpoints(base, painter):
    folder, best, _ = base
    scored = restore(folder, "best")
    assert_same(scored.ema.state_dict(), best["ema"])
    model = build("fpa_unet", start={"painter": painter})
    model.start_from(RunFolder(folder).read_weights())
    for _ in range(4):
        model.step(images())
    z = torch.randn(3, model.latent_dim)
    before = model.paint(z)["painted"]
    if painter == "ema":
        assert torch.equal(before, scored.ema(z))
    else:
        scored.generator.load_state_dict(best["generator"])
        assert torch.equal(before, scored.generator(z))


def test_a_refiners_training_scores_the_frozen_painter_when_it_begins(base):
    folder, best, _ = base
    config = copy.deepcopy(TINY)
    config["training"] |= {"kimg": STEPS * 0.008, "watch_kimg": WATCHED * 0.008}
    run = Plan({**config, "results": "somewhere/else"}).runs[1]
    pictures = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16), np.uint8)
    seen = []

    def watch(generator):
        seen.append(copy.deepcopy(generator.state_dict()))
        return {"fid": float(len(seen))}

    weights = RunFolder(folder).read_weights()
    one = Training(run, EpochSampler(pictures, 8, 0), "", CPU, 100, watch, weights)
    while one.step < one.steps:
        one.advance()
    assert_same(seen[1], best["generator"])
    rows = [(row["step"], row["fid"], row.get("unrefined_fid")) for row in one.history]
    assert rows == [(0, 1, 2), (5, 3, None), (10, 4, None), (15, 5, None), (20, 6, None)]
    assert one.best.kimg == 0, "the painter's own score is no checkpoint's"


def test_a_painter_that_was_best_before_its_first_step_has_no_moments_to_go_on_with():
    painter, model = build("fpa"), build("fpa_unet")
    states = networks_of(painter)
    assert states["discriminator_optimizer"] == {}
    kept = {f"best_{name}": state for name, state in states.items() if state}
    model.start_from({**kept, "best": states["ema"]})
    model.step(images())


@pytest.mark.parametrize("tanh_image", [True, False])
@pytest.mark.parametrize("tanh_input", [None, True, False])
def test_a_residual_unet_begins_with_its_painters_images(tanh_image, tanh_input):
    settings = copy.deepcopy(TINY["models"]["fpa"]["settings"])
    settings["painter"]["tanh_image"] = tanh_image
    unet = {"max_multiplier": 1, "residual": True, "tanh_input": tanh_input}
    base = loading.resolve_settings(loading.find_model("fpa.models:FPA", ""), settings, "")
    torch.manual_seed(0)
    model = loading.build("fpa.models:FPAUNet", {"unet": unet}, 16, 1, base)
    z = torch.randn(5, model.latent_dim)
    with torch.no_grad():
        matrix = model.ema.painter.paint(z).rule_output.matrix
        for generator in (model.ema, model.generator):
            assert torch.equal(generator(z), generator.painter(z))
    unet_before = copy.deepcopy(model.generator.unet.state_dict())
    for _ in range(3):
        model.step(images())
    changed = [
        k for k, v in model.generator.unet.state_dict().items() if not v.equal(unet_before[k])
    ]
    assert len(changed) == len(unet_before), "every weight learns, behind the last layer too"
    with torch.no_grad():
        seen = matrix.tanh() if (tanh_image if tanh_input is None else tanh_input) else matrix
        expected = matrix + model.generator.unet(seen)
        expected = expected.tanh() if tanh_image else expected
        assert torch.equal(model.generator(z), expected)
        assert not torch.equal(expected, model.generator.painter(z))
