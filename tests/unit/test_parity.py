"""Our networks, imported from checkpoints in the published format, against numbers printed by the published
implementations.

Tolerances are the project's promise: 1e-5 absolute on images, 1e-4 relative on losses. Both sides
compute in float32, so the difference is rounding in another order of operations.
"""

import numpy as np
import official
import pytest
import torch
from conftest import fpa_ok
from official import imported
from reference import Reference

from baselines.lightgan.model import Generator
from baselines.lightgan.settings import GeneratorSettings
from fpa.models.adversarial_training import d_hinge, g_loss, gradient_penalty
from fpa.models.discriminator import Discriminator, DiscriminatorOutput
from fpa.models.painter import Painter
from fpa.models.settings import DiscriminatorSettings, PainterSettings, UNetSettings
from fpa.models.unet import UNet
from fpa.runs.folder import RunFolder
from fpa.runs.generators import restore

LOSS = {"atol": 0, "rtol": 1e-4}
VECTORS = {
    "fpa_v1": "lstm_delta",
    "fpa_v2": "lstm_delta_split_v2",
    "fpa_v2_options": "lstm_delta_split_v2",
    "fpa_v2_intermediate": "lstm_delta_split_v2",
    "fpa_v2_unet": "lstm_delta_split_v2_unet",
    "fpa_split": "lstm_delta_split",
    "fpa_oja_v2": "lstm_oja_split_v2",
    "fpa_oja_v2_plain": "lstm_oja_split_v2",
    "fpa_transformer_split": "trafo_delta_split",
    "fpa_rfwp": "rfwp_delta",
    "lightgan_generator": "base",
}
OFF = {name: False for name, value in official.ARGS.items() if isinstance(value, bool)}


def sampled(run, z: torch.Tensor, *options: object) -> torch.Tensor:
    np.save(run.parent / "z.npy", z.numpy())
    out = run.parent / "images.npy"
    words = ("--latents", "z.npy", "--out", out, "--device", "cpu", *options)
    fpa_ok("sample", run, *words, cwd=run.parent)
    images = np.load(out)
    assert images.dtype == np.float32
    return torch.from_numpy(images)


def of_vector(name: str) -> tuple[Reference, dict, torch.nn.Module]:
    """A vector's weights as the average of a published model; its generator has others."""
    reference = Reference(name)
    config = dict(reference.config)
    config["ff_dim"] = config.pop("dim_feedforward", 20)
    args = {**official.ARGS, **OFF, **config, "model_type": VECTORS[name]}
    torch.manual_seed(0)
    gan = official.gan(args)
    state = {k.removeprefix("state/"): v for k, v in reference.arrays.items() if "/" in k}
    gan.GE.load_state_dict(state, strict=True)
    return reference, args, gan


def assert_images(found: torch.Tensor, published: torch.Tensor) -> None:
    # The promise: 1e-5, and 1e-4 of the largest value, because some hold small numbers.
    torch.testing.assert_close(found, published, atol=1e-5, rtol=0)
    assert (found - published).abs().max() <= 1e-4 * published.abs().max()


@pytest.mark.parametrize("name", list(VECTORS))
def test_an_imported_checkpoint_makes_the_published_images(name, tmp_path):
    reference, args, gan = of_vector(name)
    run = imported(tmp_path, official.contents(gan), args)
    z = reference["z"]
    assert_images(sampled(run, z), reference["image"])
    if name == "fpa_v2_unet":
        before = sampled(run, z, "--which", "before_unet")
        assert_images(before, reference["image_before_unet"])


def test_the_trained_generator_is_there_beside_its_average(tmp_path):
    reference, args, gan = of_vector("fpa_v2_unet")
    gan.G.load_state_dict({**gan.GE.state_dict()})
    gan.GE.load_state_dict({name: torch.zeros_like(v) for name, v in gan.G.state_dict().items()})
    run, z = imported(tmp_path, official.contents(gan), args), reference["z"]
    assert_images(sampled(run, z, "--which", "raw"), reference["image"])
    assert sampled(run, z).abs().max() == 0
    assert sampled(run, z, "--checkpoint", "best").abs().max() == 0
    assert sampled(run, z, "--which", "before_unet").abs().max() == 0


def test_its_paintings_are_the_published_ones_step_by_step(tmp_path):
    reference, args, gan = of_vector("fpa_v2")
    run = imported(tmp_path, official.contents(gan), args)
    np.save(tmp_path / "z.npy", reference["z"].numpy())
    words = ("--latents", "z.npy", "--out", "steps.npz", "--device", "cpu")
    fpa_ok("paint", run, *words, cwd=tmp_path)
    with np.load(tmp_path / "steps.npz") as steps:
        first = np.concatenate([steps["updates"][0], steps["partial"][0]])
        assert steps["partial"].shape == (3, args["num_decoding_steps"], 3, 16, 16)
        assert_images(torch.from_numpy(steps["image"]), reference["image"])
    assert_images(torch.from_numpy(first), reference["steps_first_image"])


def test_its_discriminator_and_all_losses_are_the_published_ones(tmp_path):
    reference = Reference("discriminator")
    args = {**official.ARGS, "image_size": 32, "fmap_max": 32}
    gan = official.gan(args)
    state = {k.removeprefix("state/"): v for k, v in reference.arrays.items() if "/" in k}
    gan.D.load_state_dict(state, strict=True)
    saved = official.contents(gan)
    weights = RunFolder(imported(tmp_path, saved, args)).read_weights()
    model = restore(tmp_path / "run")
    model.discriminator.load_state_dict(weights["discriminator"])
    images = reference["real"].clone().requires_grad_()
    real = model.discriminator(images, reconstruct=len(images))
    fake = model.discriminator(reference["fake"])
    for ours, published in {
        real.logits: "logits",
        real.view_logits: "logits_32",
        fake.logits: "fake_logits",
        fake.view_logits: "fake_logits_32",
        real.reconstruction: "aux_loss",
        d_hinge(real, fake): "d_hinge",
        g_loss(fake): "g_loss",
        gradient_penalty(images, real): "gradient_penalty",
    }.items():
        torch.testing.assert_close(ours, reference[published].view_as(ours), **LOSS)
    # Adam's moments lie with the same parameters: found by value, whatever their names.
    first = {
        tuple(state["exp_avg"].flatten()[:3].tolist()): tuple(parameter.flatten()[:3].tolist())
        for state, parameter in zip(
            saved["D_opt"]["state"].values(), gan.D.parameters(), strict=True
        )
    }
    moments = {k: v for k, v in weights["discriminator_optimizer"].items() if "exp_avg." in k}
    assert len(moments) == len(first)
    for name, moment in moments.items():
        value = weights["discriminator"][name.removeprefix("exp_avg.")]
        assert first[tuple(moment.flatten()[:3].tolist())] == tuple(value.flatten()[:3].tolist())


def test_its_partial_images_are_the_published_ones(tmp_path):
    reference, args, gan = of_vector("fpa_v2_intermediate")
    painter = restore(imported(tmp_path, official.contents(gan), args)).ema
    count, scaled = (reference.config[f"{name}_intermed_loss"] for name in ("use", "scale"))
    images = painter(reference["z"], count, scaled)
    assert_images(images, reference["images_with_partial"])
    unscaled = painter(reference["z"], count, False)
    assert not torch.allclose(unscaled[0], images[0])
    assert torch.equal(unscaled[-3:], images[-3:])


def test_pooled_hinge_is_the_published_one():
    reference = Reference("pooled_hinge")
    real, fake = (
        DiscriminatorOutput(reference[name], torch.zeros(size), None)
        for name, size in (("real", 6), ("fake", 18))
    )
    # The second logits, all zero, give a loss of 1.
    loss = d_hinge(real, fake, pooled=True) - 1
    torch.testing.assert_close(loss, reference["loss"], **LOSS)


def entries(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("inputs", "count"), [("v2", 6_437_891), ("v1", 7_746_947)])
def test_the_papers_painters_have_the_published_size(inputs, count):
    assert entries(Painter(64, 3, PainterSettings(inputs=inputs))) == count


def test_the_papers_other_networks_have_the_published_size():
    unet = UNet(64, 3, UNetSettings())
    assert 6_437_891 + entries(unet) == 14_423_366
    assert entries(Discriminator(64, 3, DiscriminatorSettings())) == 12_326_632
    assert entries(Generator(64, 3, GeneratorSettings())) == 20_988_039
