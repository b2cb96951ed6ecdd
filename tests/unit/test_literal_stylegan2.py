"""20 steps of StyleGAN2-ADA's training against its recipe, written out.

Mapping, synthesis, discriminator and augmentations are copies of the real modules; everything else is
here once more, slowly: what is drawn and when, mixing, the losses image by image, both penalties and
their own Adam steps, ADA's probability, the means of w and of path lengths, the average.
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
    corrected,
    float64,
    log_sigmoid_loss,
    mean,
)
from torch import Tensor

from baselines.stylegan2_ada import StyleGAN2ADA
from baselines.stylegan2_ada.settings import AugmentSettings, NetworkSettings

BATCH, SIZE, Z = 4, 8, 8
NETWORKS = NetworkSettings(latent_dim=Z, w_dim=8, channel_base=64, channel_max=8)
# p moves by 4 * 4 / 100 every fourth step, up and down.
ADA_TARGET, ADA_KIMG = 0.0, 0.1
# From this step on so many images have been seen that the ramp of the EMA's half-life is over.
LATER, MANY = 10, 20_000_000

NAMES = ("rate", "gamma", "path length", "mixing", "half-life", "w decay", "w in every pass")
OWN_BATCH = 0.0002 * SIZE**2
PUBLISHED = {
    "auto": (0.0025, OWN_BATCH / 32, 2.0, 0.9, 10_000.0, 0.995, True),
    "stylegan2": (0.002, OWN_BATCH / BATCH, 2.0, 0.9, BATCH * 10 / 32 * 1000, 0.998, False),
    "cifar": (0.0025, 0.01, 0.0, 0.0, 500_000.0, 0.995, True),
}


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


class Literal:
    """The published training loop."""

    def __init__(self, model: StyleGAN2ADA, published: dict) -> None:
        self.networks = copy.deepcopy(dict(model.networks))
        self.G, self.D = self.networks["generator"], self.networks["discriminator"]
        self.augment = copy.deepcopy(model.augmentation)
        self.about = published
        rate = published["rate"]
        self.G_adam = Adam(self.G.parameters(), *corrected(rate, (0, 0.99), 4))
        self.D_adam = Adam(self.D.parameters(), *corrected(rate, (0, 0.99), 16))
        self.p, self.path_length = 0.0, torch.zeros(())
        self.signs: list[float] = []
        self.seen = 0

    def fake(self, count: int, follow: bool) -> tuple[Tensor, Tensor]:
        synthesis, mapping = self.G.synthesis, self.G.mapping
        z = torch.randn(count, Z)
        cut, other = synthesis.layers, None
        if self.about["mixing"] and torch.rand(()).item() < self.about["mixing"]:
            cut = torch.randint(1, synthesis.layers, ()).item()
            other = torch.randn(count, Z)
        w = mapping(z)
        if follow:
            decay = self.about["w decay"]
            moved = decay * mapping.w_average + (1 - decay) * mean(w).detach()
            mapping.w_average.copy_(moved)
        mixed = None if other is None else mapping(other)
        ws = torch.stack([w if n < cut else mixed for n in range(synthesis.layers)], dim=1)
        return synthesis(ws), ws

    def judge(self, images: Tensor) -> Tensor:
        self.augment.p.fill_(self.p)
        return self.D(self.augment(images)).flatten()

    def step(self, t: int, real: Tensor) -> None:
        about, real = self.about, 2 * real - 1
        every_pass = about["w in every pass"]

        images, _ = self.fake(BATCH, every_pass)
        self.G_adam.minimise(mean(log_sigmoid_loss(x) for x in self.judge(images)))

        if t % 4 == 0 and about["path length"]:
            images, ws = self.fake(BATCH // 2, every_pass)
            y = torch.randn(images.shape) / SIZE
            lengths = []
            for i, image in enumerate(images):
                (slope,) = torch.autograd.grad((image * y[i]).sum(), ws, create_graph=True)
                per_layer = [(layer * layer).sum() for layer in slope[i]]
                lengths.append(mean(per_layer) ** 0.5)
            a = 0.99 * self.path_length + 0.01 * mean(lengths)
            self.path_length = a.detach()
            self.G_adam.minimise(4 * about["path length"] * mean((x - a) ** 2 for x in lengths))

        with torch.no_grad():
            images, _ = self.fake(BATCH, True)
        on_real = self.judge(real)
        on_fake = self.judge(images)
        loss = mean(log_sigmoid_loss(-x) for x in on_fake)
        self.D_adam.minimise(loss + mean(log_sigmoid_loss(x) for x in on_real))
        self.signs += on_real.sign().tolist()

        if t % 16 == 0:
            leaf = real.clone().requires_grad_()
            on_real = self.judge(leaf)
            (slope,) = torch.autograd.grad(sum(on_real), leaf, create_graph=True)
            squares = [(s * s).sum() for s in slope]
            self.D_adam.minimise(16 * about["gamma"] / 2 * mean(squares))
            self.signs += on_real.sign().tolist()

        half_life = min(about["half-life"], 0.05 * self.seen)
        average(self.networks["ema"], self.G, 0.5 ** (BATCH / half_life) if half_life else 0.0)
        self.seen += BATCH
        # Buffers are copied, not averaged.
        self.networks["ema"].mapping.w_average.copy_(self.G.mapping.w_average)

        if (t + 1) % 4 == 0:
            r = sum(self.signs) / len(self.signs)
            move = BATCH * 4 / (ADA_KIMG * 1000)
            self.p = max(0.0, self.p + (move if r > ADA_TARGET else -move if r < ADA_TARGET else 0))
            self.signs = []


@pytest.mark.slow
@pytest.mark.parametrize("preset", list(PUBLISHED))
def test_twenty_steps_are_those_of_the_published_recipe(preset):
    torch.manual_seed(0)
    augment = AugmentSettings(target=ADA_TARGET, kimg=ADA_KIMG)
    model = StyleGAN2ADA(
        image_size=SIZE, channels=1, preset=preset, networks=NETWORKS, augment=augment
    )
    published = dict(zip(NAMES, PUBLISHED[preset], strict=True))
    literal, reals = Literal(model, published), batches(BATCH, 1, SIZE)
    probabilities = []
    torch.manual_seed(3)
    for t, real in enumerate(reals):
        model.images = MANY if t == LATER else model.images
        model.step(real.clone())
        probabilities.append(model.augmentation.p.item())
    torch.manual_seed(3)
    for t, real in enumerate(reals):
        literal.seen = MANY if t == LATER else literal.seen
        literal.step(t, real)
        assert literal.p == pytest.approx(probabilities[t])
    assert (model.steps, model.images) == (STEPS, literal.seen)
    assert max(probabilities) > 0, "no image was augmented"
    torch.testing.assert_close(model.path_length, literal.path_length)
    assert_same(model.networks, literal.networks)
