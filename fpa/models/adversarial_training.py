"""The adversarial training of the painters and of LightGAN: losses, augmentation, EMA, and one step.

As published with the painters' code. The sign is its own: the discriminator pushes real images down and
fakes up.
"""

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from fpa.core import distributed
from fpa.core.errors import UserError
from fpa.core.torch_utils import to_device, uncompiled
from fpa.models.discriminator import DiscriminatorOutput
from fpa.models.interface import State
from fpa.models.settings import RecipeSettings

G = TypeVar("G", bound=nn.Module)
ParameterGroups = list[dict[str, Any]]
"""What an optimizer trains, as torch takes it: each with its parameters and, if need be, its rate."""

FLIP = 0.5
CUTOUT, TRANSLATION = 0.5, 0.125
"""Of the image's width: the side of the square that is cut out, and the longest move."""


def d_hinge(real: DiscriminatorOutput, fake: DiscriminatorOutput, pooled: bool = False) -> Tensor:
    """mean(relu(1 + D(real))) + mean(relu(1 - D(fake))), summed over the two logits. Scalar.

    pooled: one mean over all real and fake images together, as published for the U-Net stage and
    for losses on partial images: for as many fake as real images, half as much.
    """

    def loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        parts = (1 + real_logits).relu(), (1 - fake_logits).relu()
        if pooled:
            return torch.cat(parts).mean()
        return parts[0].mean() + parts[1].mean()

    return loss(real.logits, fake.logits) + loss(real.view_logits, fake.view_logits)


def g_loss(fake: DiscriminatorOutput) -> Tensor:
    """mean D(fake), summed over the two logits: the generator pushes its images down. Scalar."""
    return fake.logits.mean() + fake.view_logits.mean()


def gradient_penalty(images: Tensor, output: DiscriminatorOutput, weight: float = 10.0) -> Tensor:
    """weight * mean((||d (sum of both logits) / d images|| - 1)^2) over the batch. Scalar.

    `images` must require gradients and `output` come from them; the norm is over one image.
    """
    (gradient,) = torch.autograd.grad(
        output.logits.sum() + output.view_logits.sum(), images, create_graph=True
    )
    return weight * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def augment(images: Tensor, probability: float, stacked: int = 1) -> Tensor:
    """What the discriminator sees of images (N, C, D, D), real and fake alike: changed or as they are.

    As in the paper's public code: with the given probability a whole batch is augmented; it is then
    flipped with probability 1/2, and each of its images is cut and moved by itself, as in DiffAugment
    (Zhao et al., NeurIPS 2020, section 3.3 and its public code: a square of half the image's width,
    moves of up to an eighth). Everything can be differentiated twice.

    stacked: so many images of each latent, one batch behind the other; several processes then draw
    what one would. Draws nothing where the probability is 0.
    """
    if not probability or torch.rand(()) >= probability:
        return images
    if torch.rand(()) < FLIP:
        images = images.flip(3)
    draws = distributed.rand(len(images) // stacked, stacked, 4)
    draws = to_device(draws.transpose(0, 1).flatten(0, 1), images.device)  # (N, 4)
    return translate(cut_out(images, draws[:, :2]), draws[:, 2:])


def cut_out(images: Tensor, where: Tensor) -> Tensor:
    """A square of zeros in each image, its centre anywhere. where: (N, 2) in [0, 1), row and column."""
    size = images.shape[-1]
    side = int(size * CUTOUT + 0.5)
    # An even side has its centre between pixels: one place more.
    first = (where * (size + 1 - side % 2)).long() - side // 2
    pixels = torch.arange(size, device=images.device)
    behind = pixels - first[..., None]  # (N, 2, D)
    inside = (behind >= 0) & (behind < side)
    return images * ~(inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def translate(images: Tensor, where: Tensor) -> Tensor:
    """Each image moved, zeros behind it. where: (N, 2) in [0, 1), down and to the right."""
    size = images.shape[-1]
    most = int(size * TRANSLATION + 0.5)
    moves = (where * (2 * most + 1)).long() - most
    source = torch.arange(size, device=images.device) + moves[..., None]  # (N, 2, D)
    there = (source >= 0) & (source < size)
    source = source.clamp(0, size - 1)
    number = torch.arange(len(images), device=images.device)[:, None, None]
    # The indexed dimensions come first: (N, D, D, C).
    moved = images[number, :, source[:, 0, :, None], source[:, 1, None, :]].permute(0, 3, 1, 2)
    return moved * (there[:, 0, :, None] & there[:, 1, None, :])[:, None]


def ema_action(step: int, settings: RecipeSettings) -> tuple[bool, bool]:
    """(update, reset) of the EMA copy after `step`, by the published schedule."""
    update = step > settings.ema_start and step % settings.ema_every == 0
    reset = step <= settings.ema_reset_until and step % settings.ema_reset_every == 2
    return update, reset


class AdversarialModel(Generic[G]):
    """A generator and a discriminator trained by the published recipe; implements fpa.models.interface.Model.

    pooled: whether the discriminator's hinge loss is one mean over real and fake images together,
    as published for the U-Net stage and for partial images.
    """

    def __init__(
        self,
        generator: G,
        discriminator: nn.Module,
        settings: RecipeSettings,
        pooled: bool = False,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim = int(generator.latent_dim)  # type: ignore[arg-type]
        self.settings, self.pooled = settings, pooled
        self.ema: G = copy.deepcopy(generator).requires_grad_(False).eval()
        self.device = torch.device("cpu")
        self.steps = 0
        # The same networks, or what averages their gradients over processes.
        self._trained_generator: nn.Module = generator
        self._trained_discriminator: nn.Module = discriminator

    # Made when they are first used: to sample needs none, and torch takes a second to load them.

    @cached_property
    def generator_optimizer(self) -> torch.optim.Optimizer:
        return self._adam(self.generator_groups(), self.settings.learning_rate)

    @cached_property
    def discriminator_optimizer(self) -> torch.optim.Optimizer:
        rate = self.settings.learning_rate * self.settings.discriminator_rate_factor
        return self._adam([{"params": list(self.discriminator.parameters())}], rate)

    def _adam(self, groups: ParameterGroups, rate: float) -> torch.optim.Optimizer:
        # One call for all parameters; shapes alone have no such kernel.
        fused = self.device.type != "meta"
        return torch.optim.Adam(groups, lr=rate, betas=self.settings.betas, fused=fused)

    def generator_groups(self) -> ParameterGroups:
        """What the generator's optimizer trains, as torch's parameter groups."""
        return [{"params": [p for p in self.generator.parameters() if p.requires_grad]}]

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "ema": self.ema, "discriminator": self.discriminator}

    def to(self, device: torch.device) -> None:
        self.device = device
        for network in self.networks.values():
            network.to(device)
        self._trained_generator = distributed.data_parallel(self.generator)
        self._trained_discriminator = distributed.data_parallel(self.discriminator)

    def latents(self, n: int) -> Tensor:
        """(n, L) standard normal, drawn on the CPU so that every device sees the same ones."""
        return to_device(distributed.randn(n, self.latent_dim), self.device)

    def fakes(self, generator: nn.Module, z: Tensor) -> Tensor:
        """Images to train on of latents (B, L): (B, C, H, W), or several stacked, (n B, C, H, W)."""
        return generator(z)

    def step(self, real: Tensor) -> dict[str, Tensor]:
        """One update of each network on real images (B, C, H, W) in [0, 1]; its losses, detached.

        UserError for a batch that cannot be shared evenly between `accumulation` passes.
        """
        if len(real) % self.settings.accumulation:
            raise UserError(
                f"a batch of {len(real)} images cannot be shared evenly between "
                f"{self.settings.accumulation} passes; change training.batch_size or "
                "recipe.accumulation"
            )
        result = self._discriminator_step(real)
        result["g_loss"] = self._generator_step(len(real))
        update, reset = ema_action(self.steps, self.settings)
        if update:
            self._average(self.settings.ema_decay)
        if reset:
            self._average(0.0)
        self.steps += 1
        return result

    def _discriminator_step(self, real: Tensor) -> dict[str, Tensor]:
        passes = self.settings.accumulation
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        results = []
        for part in real.chunk(passes):
            loss, result = self._discriminator_loss(part)
            (loss / passes).backward()
            results.append(result)
        self.discriminator_optimizer.step()
        return {name: torch.stack([r[name] for r in results]).mean() for name in results[0]}

    def _discriminator_loss(self, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        s = self.settings
        penalised = self.steps % s.penalty_every == 0
        with torch.no_grad():
            fake = self.fakes(self.generator, self.latents(len(real)))
        count = len(real)
        fake = augment(fake, s.augment_probability, len(fake) // count)
        if penalised:
            # Apart: the penalty differentiates twice, and the real images' output alone.
            real = real.requires_grad_()
            shown = augment(real, s.augment_probability)
            with uncompiled(self.discriminator):
                on_real = self._trained_discriminator(shown, reconstruct=count)
            on_fake = self._trained_discriminator(fake)
        else:
            # Each image is judged by itself, so both batches can be one.
            shown = augment(real, s.augment_probability)
            both = self._trained_discriminator(torch.cat([shown, fake]), reconstruct=count)
            on_real, on_fake = both.split(count)
        hinge = d_hinge(on_real, on_fake, self.pooled)
        loss = hinge + on_real.reconstruction
        result = {"d_loss": hinge.detach(), "reconstruction": on_real.reconstruction.detach()}
        if penalised:
            penalty = gradient_penalty(real, on_real, s.penalty_weight)
            loss = loss + penalty
            result["gradient_penalty"] = penalty.detach()
        return loss, result

    def _generator_step(self, batch_size: int) -> Tensor:
        s = self.settings
        count = batch_size // s.accumulation
        self.discriminator.requires_grad_(False)
        self.generator_optimizer.zero_grad(set_to_none=True)
        found = []
        for _ in range(s.accumulation):
            fake = self.fakes(self._trained_generator, self.latents(count))
            fake = augment(fake, s.augment_probability, len(fake) // count)
            loss = g_loss(self.discriminator(fake))
            (loss / s.accumulation).backward()
            found.append(loss.detach())
        self.generator_optimizer.step()
        self.discriminator.requires_grad_(True)
        return torch.stack(found).mean()

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        """EMA := decay * EMA + (1 - decay) * generator, floating buffers alike; counters copied."""
        ours, theirs = self.ema.state_dict(), self.generator.state_dict()
        for name, value in ours.items():
            if value.is_floating_point() and decay:
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])

    def state_dict(self) -> State:
        """Everything that the next step depends on, but torch's global random state."""
        return {
            "steps": self.steps,
            **{name: network.state_dict() for name, network in self.networks.items()},
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        self.steps = state["steps"]
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])


def _trained_names(optimizer: torch.optim.Optimizer, network: nn.Module) -> list[str]:
    """The network's names of the parameters that the optimizer trains, in its order."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def optimizer_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """State of an optimizer of a network's parameters, as "exp_avg.NAME", ..., to keep beside them.

    Empty before its first step.
    """
    state = optimizer.state_dict()["state"]
    names = _trained_names(optimizer, network)
    return {
        f"{kind}.{names[number]}": value
        for number, values in state.items()
        for kind, value in values.items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """The inverse; learning rate and the like stay the optimizer's own.

    What is there of parameters that it does not train is left out.
    """
    numbers = {name: number for number, name in enumerate(_trained_names(optimizer, network))}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        if name in numbers:
            state.setdefault(numbers[name], {})[kind] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
