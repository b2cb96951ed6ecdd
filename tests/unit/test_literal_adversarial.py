"""20 steps of the painters', LightGAN's and DCGAN's training against their recipes, written out.

The networks are copies of the real modules; everything else is here once more, slowly: what is drawn
and when, the losses image by image, the penalty, Adam, the average and its resets.
"""

import copy

import pytest
import torch
from literal import (
    STEPS,
    Adam,
    assert_same,
    average,
    batches,
    float64,
    log_sigmoid_loss,
    mean,
    norm,
)
from test_adversarial_training import build as small
from torch import Tensor

from fpa.models import loading

BATCH, SIZE = 4, 16
RATE, BETAS, DECAY = 2e-4, (0.5, 0.9), 0.995
# Resets fall on steps 2 and 8, averages on 8, 10, ... 18, not yet on 6: on 8 both, the reset last.
SCHEDULE = {"ema_start": 6, "ema_every": 2, "ema_reset_every": 6, "ema_reset_until": 10}


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


def build(name: str, **changes):
    return small(name, recipe=SCHEDULE, **changes)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Real images down to -1, fake ones up to 1; of one logit of every image."""
    zero = torch.zeros(())
    return mean(
        torch.maximum(zero, 1 + r) + torch.maximum(zero, 1 - f)
        for r, f in zip(real, fake, strict=True)
    )


def pooled_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The U-Net's: the mean over all real and fake images together."""
    zero = torch.zeros(())
    return mean(
        [torch.maximum(zero, 1 + r) for r in real] + [torch.maximum(zero, 1 - f) for f in fake]
    )


def penalty(discriminator, images: Tensor) -> Tensor:
    """10 (|slope of both logits| - 1)^2, image by image."""
    terms = []
    for image in images:
        image = image[None].clone().requires_grad_()
        judged = discriminator(image)
        total = judged.logits[0] + judged.view_logits[0]
        (slope,) = torch.autograd.grad(total, image, create_graph=True)
        terms.append(10 * (norm(slope) - 1) ** 2)
    return mean(terms)


def finished(G, z: Tensor) -> Tensor:
    """The images to train on, where they are those that the generator makes."""
    return G(z)


def partial_too(G, z: Tensor) -> Tensor:
    """W_t at t = floor(T / 3) and floor(2 T / 3), from 0, thrice and 3/2 times, before the tanh."""
    keys, values, rates = G.program(z)
    keys, rates = keys.softmax(-1), rates.sigmoid()
    W, stacked = torch.zeros(BATCH, 1, SIZE, SIZE), []
    for t in range(4):
        k, v = keys[:, :, t], values[:, :, t]
        b = rates[:, :, t] if t else torch.ones(BATCH, 1, 1)
        W = W + torch.einsum("bci,bcj->bcij", b * (v - torch.einsum("bcij,bcj->bci", W, k)), k)
        stacked += {1: [3 * W], 2: [1.5 * W], 3: [W]}.get(t, [])
    return torch.cat(stacked).tanh()


def through_both(G, z: Tensor) -> Tensor:
    """The loss on the refined image reaches the painter."""
    return G.unet(G.painter(z)).tanh()


def each_by_itself(G, z: Tensor) -> Tensor:
    """The unrefined image has a loss of its own, and that on the refined one ends at the U-Net."""
    painted = G.painter(z)
    return torch.cat([painted, G.unet(painted.detach()).tanh()])


def train_literally(
    networks: dict, latent_dim: int, reals: list[Tensor], adversarial, trained, fakes=finished
):
    """The published loop, one step at a time. trained: what it changes of the generator."""
    G, D, ema = networks["generator"], networks["discriminator"], networks["ema"]
    G_adam, D_adam = Adam(trained, RATE, BETAS), Adam(D.parameters(), RATE, BETAS)
    for step, real in enumerate(reals):
        z = torch.randn(BATCH, latent_dim)
        with torch.no_grad():
            fake = fakes(G, z)
        on_real, on_fake = D(real, reconstruct=len(real)), D(fake)
        loss = adversarial(on_real.logits, on_fake.logits)
        loss = loss + adversarial(on_real.view_logits, on_fake.view_logits)
        loss = loss + on_real.reconstruction
        if step % 4 == 0:
            loss = loss + penalty(D, real)
        D_adam.minimise(loss)

        z = torch.randn(BATCH, latent_dim)
        judged = D(fakes(G, z))
        G_adam.minimise(mean(judged.logits) + mean(judged.view_logits))

        if step % SCHEDULE["ema_every"] == 0 and step > SCHEDULE["ema_start"]:
            average(ema, G, DECAY)
        if step in (2, 8):
            average(ema, G, 0.0)
        yield


def hinge_of_more_fakes(real: Tensor, fake: Tensor) -> Tensor:
    assert len(fake) > len(real)
    return pooled_hinge(real, fake)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "fakes", "adversarial"),
    [
        ({"partial_images": 3, "scale_partial_images": True}, partial_too, hinge_of_more_fakes),
        (
            {"refining": {"painter": "trained", "gradient_into_painter": True}},
            through_both,
            pooled_hinge,
        ),
        (
            {"refining": {"painter": "trained", "unrefined_loss": True}},
            each_by_itself,
            hinge_of_more_fakes,
        ),
    ],
    ids=["partial images", "gradient into the painter", "loss on the unrefined image"],
)
def test_steps_with_other_published_losses_are_those_of_their_recipe(changes, fakes, adversarial):
    # A few, with two penalties and a reset: rounding grows ten times a step where a young U-Net
    # normalises groups that are almost constant.
    model = build("fpa" if fakes is partial_too else "fpa_unet", **changes)
    literal, start = (copy.deepcopy(dict(model.networks)) for _ in range(2))
    reals = batches(BATCH, 1, SIZE)[:6]
    torch.manual_seed(3)
    for real in reals:
        model.step(real.clone())
    torch.manual_seed(3)
    trained = list(literal["generator"].parameters())
    for _ in train_literally(literal, model.latent_dim, reals, adversarial, trained, fakes):
        pass
    assert_same(model.networks, literal)
    for path, value in model.generator.state_dict().items():
        assert not torch.equal(value, start["generator"].state_dict()[path]), path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "lightgan"])
def test_twenty_steps_are_those_of_the_published_recipe(name):
    model, reals = build(name), batches(BATCH, 1, SIZE)
    if name == "fpa_unet":
        # Its stage starts from a trained painter; any one will do here, the same in both copies.
        base = build("fpa")
        model.generator.painter.load_state_dict(base.generator.state_dict())
        model.ema.painter.load_state_dict(base.generator.state_dict())
        model.discriminator.load_state_dict(base.discriminator.state_dict())
    literal = copy.deepcopy(dict(model.networks))
    before = copy.deepcopy(model.ema.state_dict())
    painter = copy.deepcopy(literal["generator"].painter) if name == "fpa_unet" else None
    averages = []
    torch.manual_seed(3)
    for real in reals:
        model.step(real.clone())
        averages.append(copy.deepcopy(model.ema))
    torch.manual_seed(3)
    generator = literal["generator"]
    steps = train_literally(
        literal,
        model.latent_dim,
        reals,
        pooled_hinge if name == "fpa_unet" else hinge,
        list((generator.unet if name == "fpa_unet" else generator).parameters()),
    )
    for ema, _ in zip(averages, steps, strict=True):
        assert_same({"ema": ema}, literal)
    assert model.steps == STEPS
    assert_same(model.networks, literal)
    # The average is neither the generator nor where it began, so it was compared in earnest.
    for other in (before, model.generator.state_dict()):
        assert any(not torch.equal(v, other[k]) for k, v in model.ema.state_dict().items())
    if painter is not None:
        for copied in (model.generator.painter, model.ema.painter):
            for path, value in copied.state_dict().items():
                assert torch.equal(value, painter.state_dict()[path])


def test_twenty_steps_of_dcgan_are_those_of_its_recipe():
    torch.manual_seed(0)
    settings = {"width": 4, "latent_dim": 8, "learning_rate": 1e-3, "ema_decay": 0.9}
    model, reals = (
        loading.build("baselines.dcgan:DCGAN", settings, SIZE, 1),
        batches(BATCH, 1, SIZE),
    )
    literal = copy.deepcopy(dict(model.networks))
    G, D, ema = literal["generator"], literal["discriminator"], literal["ema"]
    torch.manual_seed(3)
    for real in reals:
        model.step(real.clone())
    torch.manual_seed(3)
    G_adam, D_adam = (Adam(network.parameters(), 1e-3, (0.5, 0.999)) for network in (G, D))
    for real in reals:
        fake = G(torch.randn(BATCH, 8))
        on_real, on_fake = D(real), D(fake.detach())
        real_loss = mean(log_sigmoid_loss(x) for x in on_real.flatten())
        fake_loss = mean(log_sigmoid_loss(-x) for x in on_fake.flatten())
        D_adam.minimise(real_loss + fake_loss)
        # The same fake images, before a discriminator that has just learned from them.
        G_adam.minimise(mean(log_sigmoid_loss(x) for x in D(fake).flatten()))
        average(ema, G, 0.9)
    assert_same(model.networks, literal)
