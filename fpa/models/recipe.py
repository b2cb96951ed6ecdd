"""The adversarial training recipe of the painters and of LightGAN: what one step does."""

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from fpa.core import distributed
from fpa.core.compiling import uncompiled
from fpa.core.errors import UserError
from fpa.core.transfer import to_device
from fpa.models import losses
from fpa.models.augment import augment
from fpa.models.settings import RecipeSettings

G = TypeVar("G", bound=nn.Module)


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

    def _adam(self, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
        # One call for all parameters; shapes alone have no such kernel.
        fused = self.device.type != "meta"
        return torch.optim.Adam(groups, lr=rate, betas=self.settings.betas, fused=fused)

    def generator_groups(self) -> list[dict[str, Any]]:
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
            # Apart: the penalty differentiates twice, and the real images' judgement alone.
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
        hinge = losses.d_hinge(on_real, on_fake, self.pooled)
        loss = hinge + on_real.reconstruction
        result = {"d_loss": hinge.detach(), "reconstruction": on_real.reconstruction.detach()}
        if penalised:
            penalty = losses.gradient_penalty(real, on_real, s.penalty_weight)
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
            loss = losses.g_loss(self.discriminator(fake))
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

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but torch's global random state."""
        return {
            "steps": self.steps,
            **{name: network.state_dict() for name, network in self.networks.items()},
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"]
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
