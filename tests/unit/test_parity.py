"""Our networks against numbers printed by the published implementations.

Tolerances are the project's promise: 1e-5 absolute on images, 1e-4 relative on losses. Both sides
compute in float32, so the difference is rounding in another order of operations.
"""

from pathlib import Path

import pytest
import torch
from reference import DATA, DISCRIMINATOR, LIGHTGAN, PAINTER, UNET, Reference

from baselines.lightgan.model import Generator
from baselines.lightgan.settings import GeneratorSettings
from fpa.evaluation.trace import step_pictures
from fpa.models.adversarial_training import d_hinge, g_loss, gradient_penalty
from fpa.models.discriminator import Discriminator, DiscriminatorOutput
from fpa.models.painter import Painter
from fpa.models.settings import DiscriminatorSettings, PainterSettings, UNetSettings
from fpa.models.unet import RefinedPainter, UNet

IMAGE = {"atol": 1e-5, "rtol": 0}
LOSS = {"atol": 0, "rtol": 1e-4}
LARGEST = 1e-4
"""Relative to an image's largest value: some vectors hold images of small numbers."""
OPTIONS = {
    "num_decoding_steps": "steps",
    "latent_dim": "latent_dim",
    "rnn_hidden_size": "hidden_size",
    "num_layers": "layers",
    "mini_latent_dim": "mini_latent_dim",
    "mini_input_size": "mini_input_size",
    "v2_input_sigmoid": "mini_tanh",
    "use_latent_to_init": "latent_to_state",
    "use_pos_enc": "position_codes",
    "use_softmax": "softmax_keys",
    "val_tanh": "tanh_values",
    "vect_lr": "vector_rates",
    "use_learned_init": "learned_initial",
    "wide_out_dim": "wide_dim",
    "out_tanh": "tanh_image",
    "num_heads": "heads",
    "dim_feedforward": "feedforward_size",
}
"""The published constructors' arguments and our settings; what is not given is off."""
OFF = {"mini_tanh": False, "latent_to_state": False, "softmax_keys": False, "tanh_image": False}
PAINTERS = {
    "fpa_v1": {"inputs": "v1"},
    "fpa_v2": {"inputs": "v2"},
    "fpa_v2_options": {"inputs": "v2"},
    "fpa_v2_intermediate": {"inputs": "v2"},
    "fpa_split": {"inputs": "split"},
    "fpa_oja_v2": {"rule": "oja"},
    "fpa_oja_v2_plain": {"rule": "oja"},
    "fpa_transformer_split": {
        "inputs": "split",
        "sequence": "transformer",
        # The pieces of the latent are mapped to the model's width at once.
        "mini_input_size": 32,
    },
    "fpa_rfwp": {"inputs": "v1", "sequence": "rfwp"},
}
"""Vectors of painters, and the combination of parts that each is."""


def painter_of(reference: Reference, **parts) -> Painter:
    config = reference.config
    given = {ours: config[name] for name, ours in OPTIONS.items() if name in config}
    painter = Painter(config["image_size"], 3, PainterSettings(**{**OFF, **given, **parts}))
    reference.load(painter, PAINTER)
    return painter


def assert_published(image, published):
    """1e-5 absolute, and 1e-4 of the largest value."""
    torch.testing.assert_close(image, published, **IMAGE)
    assert (image - published).abs().max() <= LARGEST * published.abs().max()


@pytest.mark.parametrize("name", list(PAINTERS))
def test_painter_paints_the_published_image(name):
    reference = Reference(name)
    painter = painter_of(reference, **PAINTERS[name])
    assert_published(painter(reference["z"]), reference["image"])


def test_a_painters_partial_images_are_the_published_ones():
    reference = Reference("fpa_v2_intermediate")
    painter = painter_of(reference, inputs="v2")
    count, scaled = (
        reference.config[name] for name in ("use_intermed_loss", "scale_intermed_loss")
    )
    images = painter(reference["z"], count, scaled)
    assert_published(images, reference["images_with_partial"])
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


def test_every_vector_is_met():
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for path in DATA.glob("reference_*.npz"):
        name = path.stem.removeprefix("reference_")
        assert name in PAINTERS or f'Reference("{name}")' in tests, name


def test_step_pictures_are_the_published_ones():
    reference = Reference("fpa_v2")
    painter = painter_of(reference, inputs="v2")
    trace = painter.trace(reference["z"][:1])
    pictures = step_pictures({name: part.detach().numpy() for name, part in trace.items()})
    updates, partial = (torch.from_numpy(picture[0]).float() for picture in pictures)
    torch.testing.assert_close(
        torch.cat([updates, partial]), reference["steps_first_image"], **IMAGE
    )


def test_unet_refines_as_published():
    reference = Reference("fpa_v2_unet")
    painter = painter_of(reference, inputs="v2")
    unet = UNet(16, 3, UNetSettings(max_multiplier=reference.config["max_unet_dim"]))
    reference.load(unet, UNET, prefix="u_net.")
    painted = painter(reference["z"])
    torch.testing.assert_close(painted, reference["image_before_unet"], **IMAGE)
    torch.testing.assert_close(
        RefinedPainter(painter, unet)(reference["z"]), reference["image"], **IMAGE
    )


def test_discriminator_and_all_losses_are_the_published_ones():
    reference = Reference("discriminator")
    discriminator = Discriminator(
        32, 3, DiscriminatorSettings(fmap_max=reference.config["fmap_max"])
    )
    reference.load(discriminator, DISCRIMINATOR)
    images = reference["real"].clone().requires_grad_()
    real = discriminator(images, reconstruct=len(images))
    fake = discriminator(reference["fake"])
    for ours, published in [
        (real.logits, reference["logits"].flatten()),
        (real.view_logits, reference["logits_32"].flatten()),
        (fake.logits, reference["fake_logits"].flatten()),
        (fake.view_logits, reference["fake_logits_32"].flatten()),
        (real.reconstruction, reference["aux_loss"]),
        (d_hinge(real, fake), reference["d_hinge"]),
        (g_loss(fake), reference["g_loss"]),
        (gradient_penalty(images, real), reference["gradient_penalty"]),
    ]:
        torch.testing.assert_close(ours, published, **LOSS)


def test_lightgan_generates_the_published_image():
    reference = Reference("lightgan_generator")
    settings = GeneratorSettings(
        latent_dim=reference.config["latent_dim"], fmap_max=reference.config["fmap_max"]
    )
    generator = Generator(32, 3, settings)
    reference.load(generator, LIGHTGAN)
    torch.testing.assert_close(generator.eval()(reference["z"]), reference["image"], **IMAGE)


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
