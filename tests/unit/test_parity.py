"""Our networks against numbers printed by the published implementations.

Tolerances are the project's promise: 1e-5 absolute on images, 1e-4 relative on losses. Both sides
compute in float32, so the difference is rounding in another order of operations.
"""

import pytest
import torch
from reference import DISCRIMINATOR, LIGHTGAN, PAINTER, UNET, Reference

from baselines.lightgan.generator import Generator
from baselines.lightgan.settings import GeneratorSettings
from fpa.evaluation.trace import step_pictures
from fpa.models import losses
from fpa.models.discriminator import Discriminator
from fpa.models.painter import Painter
from fpa.models.settings import DiscriminatorSettings, PainterSettings, UNetSettings
from fpa.models.unet import RefinedPainter, UNet

IMAGE = {"atol": 1e-5, "rtol": 0}
LOSS = {"atol": 0, "rtol": 1e-4}


def painter_of(reference: Reference, inputs: str) -> Painter:
    config = reference.config
    settings = PainterSettings(
        inputs=inputs,
        steps=config["num_decoding_steps"],
        latent_dim=config["latent_dim"],
        hidden_size=config["rnn_hidden_size"],
        **({"mini_input_size": config["mini_input_size"]} if inputs == "v2" else {}),
    )
    painter = Painter(config["image_size"], 3, settings)
    reference.load(painter, PAINTER)
    return painter


@pytest.mark.parametrize("inputs", ["v1", "v2"])
def test_painter_paints_the_published_image(inputs):
    reference = Reference(f"fpa_{inputs}")
    painter = painter_of(reference, inputs)
    torch.testing.assert_close(painter(reference["z"]), reference["image"], **IMAGE)
    torch.testing.assert_close(painter.paint(reference["z"]).image, reference["image"], **IMAGE)


def test_step_pictures_are_the_published_ones():
    reference = Reference("fpa_v2")
    painter = painter_of(reference, "v2")
    trace = painter.trace(reference["z"][:1])
    pictures = step_pictures({name: part.detach().numpy() for name, part in trace.items()})
    updates, partial = (torch.from_numpy(picture[0]).float() for picture in pictures)
    torch.testing.assert_close(
        torch.cat([updates, partial]), reference["steps_first_image"], **IMAGE
    )


def test_unet_refines_as_published():
    reference = Reference("fpa_v2_unet")
    painter = painter_of(reference, "v2")
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
        (losses.d_hinge(real, fake), reference["d_hinge"]),
        (losses.g_loss(fake), reference["g_loss"]),
        (losses.gradient_penalty(images, real), reference["gradient_penalty"]),
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
