"""20 steps of every model's training against its recipe, written out.

The networks are copies of the real modules; everything else is here once more, slowly: what is drawn and
when, the losses image by image, penalties, Adam, averages and their resets; StyleGAN2's mixing, ADA's
probability, the means of w and of path lengths.
"""

import copy
import math
from collections.abc import Iterable

import pytest
import torch
from test_adversarial_training import build as small
from test_adversarial_training import float64
from torch import Tensor, nn

from baselines.stylegan2_ada import StyleGAN2ADA
from baselines.stylegan2_ada.settings import AugmentSettings, NetworkSettings
from fpa.models import loading

STEPS = 20
# Both sides compute in float64 and differ by the order of sums. Adam makes the most of it: a gradient
# that should vanish (of a bias in front of a batch norm) is rounding, up to 1e-14, and divided by Adam's
# epsilon of 1e-8 that is 1e-6 of a learning rate of at most 1e-3, in each of 20 steps. What the steps
# themselves move is a thousand times more than what is tolerated.
CLOSE = {"atol": 1e-7, "rtol": 1e-7}


def batches(count: int, channels: int, size: int) -> list[Tensor]:
    """A batch of images in [0, 1] for every step."""
    generator = torch.Generator().manual_seed(1)
    shape = (count, channels, size, size)
    return [torch.rand(shape, generator=generator) for _ in range(STEPS)]


class Adam:
    """Adam as in Kingma & Ba (2015), algorithm 1."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> None:
        self.parameters, self.rate, (self.beta1, self.beta2) = list(parameters), rate, betas
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.t = 0

    @torch.no_grad()
    def descend(self, gradients: Iterable[Tensor]) -> None:
        self.t += 1
        for i, (parameter, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            self.first[i] = self.beta1 * self.first[i] + (1 - self.beta1) * g
            self.second[i] = self.beta2 * self.second[i] + (1 - self.beta2) * g * g
            m = self.first[i] / (1 - self.beta1**self.t)
            v = self.second[i] / (1 - self.beta2**self.t)
            parameter -= self.rate * m / (v.sqrt() + 1e-8)

    def minimise(self, loss: Tensor) -> None:
        """One step on the gradients of a loss; zero for what the loss does not depend on."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        zeros = [torch.zeros_like(p) for p in self.parameters]
        self.descend(z if g is None else g for g, z in zip(found, zeros, strict=True))


@torch.no_grad()
def average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """EMA := decay * EMA + (1 - decay) * network, batch statistics too; counters are copied."""
    new = network.state_dict()
    for name, old in ema.state_dict().items():
        mixed = decay * old + (1 - decay) * new[name] if old.is_floating_point() else new[name]
        old.copy_(mixed)


def mean(terms: Iterable[Tensor]) -> Tensor:
    """One number after the other."""
    terms = list(terms)
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total / len(terms)


def log_sigmoid_loss(logit: Tensor) -> Tensor:
    """-log(sigmoid(logit))."""
    return torch.log(1 + torch.exp(-logit))


def norm(x: Tensor) -> Tensor:
    """Euclidean length over all entries."""
    return (x * x).sum() ** 0.5


def assert_same(ours: dict[str, nn.Module], literal: dict[str, nn.Module]) -> None:
    """Parameters and buffers of all networks agree."""
    for name, network in ours.items():
        theirs = literal[name].state_dict()
        for path, value in network.state_dict().items():
            torch.testing.assert_close(
                value, theirs[path], **CLOSE, msg=lambda t, p=path, n=name: f"{n}.{p}: {t}"
            )


def corrected(rate: float, betas: tuple[float, float], every: int) -> tuple[float, tuple]:
    """Adam's settings where `every` steps are followed by one more, of a regularisation."""
    c = every / (every + 1)
    return rate * c, tuple(math.pow(beta, c) for beta in betas)


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


STYLE_SIZE, Z = 8, 8
NETWORKS = NetworkSettings(latent_dim=Z, w_dim=8, channel_base=64, channel_max=8)
# p moves by 4 * 4 / 100 every fourth step, up and down.
ADA_TARGET, ADA_KIMG = 0.0, 0.1
# From this step on so many images have been seen that the ramp of the EMA's half-life is over.
LATER, MANY = 10, 20_000_000

NAMES = ("rate", "gamma", "path length", "mixing", "half-life", "w decay", "w in every pass")
OWN_BATCH = 0.0002 * STYLE_SIZE**2
PUBLISHED = {
    "auto": (0.0025, OWN_BATCH / 32, 2.0, 0.9, 10_000.0, 0.995, True),
    "stylegan2": (0.002, OWN_BATCH / BATCH, 2.0, 0.9, BATCH * 10 / 32 * 1000, 0.998, False),
    "cifar": (0.0025, 0.01, 0.0, 0.0, 500_000.0, 0.995, True),
}


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
            y = torch.randn(images.shape) / STYLE_SIZE
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
def test_twenty_steps_of_stylegan2_are_those_of_the_published_recipe(preset):
    torch.manual_seed(0)
    augment = AugmentSettings(target=ADA_TARGET, kimg=ADA_KIMG)
    model = StyleGAN2ADA(
        image_size=STYLE_SIZE, channels=1, preset=preset, networks=NETWORKS, augment=augment
    )
    published = dict(zip(NAMES, PUBLISHED[preset], strict=True))
    literal, reals = Literal(model, published), batches(BATCH, 1, STYLE_SIZE)
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
