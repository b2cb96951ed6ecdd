"""StyleGAN2 with adaptive discriminator augmentation, the paper's strongest baseline.

Plain PyTorch, after Karras et al. (2020a, 2020b) and the settings of their PyTorch version.
"""

import copy
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from baselines.stylegan2_ada.augment import Augmentation
from baselines.stylegan2_ada.networks import Discriminator, Generator, Mixing
from baselines.stylegan2_ada.settings import (
    AugmentSettings,
    NetworkSettings,
    Preset,
    RecipeSettings,
    fill,
    heuristic_ema_kimg,
    heuristic_gamma,
)
from fpa.core import distributed
from fpa.core.errors import UserError
from fpa.core.torch_utils import to_device, uncompiled


class StyleGAN2ADA:
    """StyleGAN2-ADA as fpa.models.interface.Model; `preset` chooses what other settings leave at null."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        preset: Preset = "auto",
        networks: NetworkSettings = NetworkSettings(),
        recipe: RecipeSettings = RecipeSettings(),
        augment: AugmentSettings = AugmentSettings(),
    ) -> None:
        n = fill(networks, preset, image_size)
        self.recipe, self.augment = fill(recipe, preset, image_size), augment
        sizes = (n.channel_base, n.channel_max)
        self.generator = Generator(
            image_size, channels, n.latent_dim, n.w_dim, n.mapping_layers, *sizes
        )
        self.discriminator = Discriminator(
            image_size, channels, *sizes, n.deviation_group, n.residual
        )
        self.image_size, self.latent_dim = image_size, n.latent_dim
        self.ema = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.ema.truncation = self.recipe.truncation
        self.augmentation = Augmentation()
        # The networks, or what averages their gradients over processes.
        self._mixing = Mixing(self.generator)
        self._trained_discriminator: nn.Module = self.discriminator
        self._trained_mixing: nn.Module = self._mixing
        self.device = torch.device("cpu")
        self.steps, self.images = 0, 0
        # Mean path length; sum and number of the signs of D(real) since p was last adjusted.
        self.path_length, self.signs = torch.zeros(()), torch.zeros(2)

    # Made when they are first used: to sample needs none, and torch takes a second to load them.

    @cached_property
    def generator_optimizer(self) -> torch.optim.Optimizer:
        return self._adam(self.generator, self.recipe.path_length_every)

    @cached_property
    def discriminator_optimizer(self) -> torch.optim.Optimizer:
        return self._adam(self.discriminator, self.recipe.r1_every)

    def _adam(self, network: nn.Module, every: int) -> torch.optim.Optimizer:
        """Adam for n + 1 steps where there were n: regularisation is a step of its own."""
        share = every / (every + 1)
        betas = tuple(beta**share for beta in self.recipe.betas)
        rate = self.recipe.learning_rate * share
        # One call for all parameters; shapes alone have no such kernel.
        fused = self.device.type != "meta"
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, eps=1e-8, fused=fused)

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "ema": self.ema, "discriminator": self.discriminator}

    def to(self, device: torch.device) -> None:
        self.device = device
        for network in (*self.networks.values(), self.augmentation):
            network.to(device)
        self._trained_mixing = distributed.data_parallel(self._mixing)
        self._trained_discriminator = distributed.data_parallel(self.discriminator)
        self.path_length, self.signs = self.path_length.to(device), self.signs.to(device)

    def step(self, real: Tensor) -> dict[str, Tensor]:
        """One training step on real images (B, C, H, W) in [0, 1]; its losses by name."""
        r, real, batch = self.recipe, real * 2 - 1, len(real) * distributed.world_size()
        losses = {"g_loss": self._generator_step(len(real))}
        if self.steps % r.path_length_every == 0 and r.path_length_weight:
            losses["path_length"] = self._path_length_step(self._half(len(real)))
        losses["d_loss"] = self._discriminator_step(real)
        gamma = heuristic_gamma(self.image_size, batch) if r.r1_gamma is None else r.r1_gamma
        if self.steps % r.r1_every == 0 and gamma:
            losses["r1"] = self._r1_step(real, gamma)
        self._average(batch)
        self.steps += 1
        self.images += batch
        if self.augment.enabled and self.steps % self.augment.every == 0:
            self._adapt(batch)
        losses["ada_p"] = self.augmentation.p.clone()
        return losses

    def _half(self, batch: int) -> int:
        """The smaller batch of the path lengths: half of all processes' images."""
        if batch % 2 and distributed.world_size() > 1:
            raise UserError(
                f"StyleGAN2-ADA measures path lengths on half a batch: batch_size must be a multiple "
                f"of {2 * distributed.world_size()} on {distributed.world_size()} GPUs, found "
                f"{batch * distributed.world_size()}; change training.batch_size or runtime.gpus"
            )
        return max(1, batch // 2)

    def _latents(self, count: int) -> Tensor:
        # Drawn on the CPU, so that every device sees the same ones.
        return to_device(distributed.randn(count, self.latent_dim), self.device)

    def _fake(self, count: int, mixing: nn.Module, follow: bool) -> tuple[Tensor, Tensor]:
        """Images, about -1 to 1, and the w of every layer; some with two latents in one image.

        follow: move the mean w along.
        """
        z, others, start = self._latents(count), None, 0
        if self.recipe.style_mixing and torch.rand(()) < self.recipe.style_mixing:
            start = int(torch.randint(1, self.generator.synthesis.layers, ()))
            others = self._latents(count)
        images, ws = mixing(z, others, start)
        if follow:
            self.generator.mapping.follow(ws[:, 0], self.recipe.w_average_decay)
        return images, ws

    def _shown(self, images: Tensor) -> Tensor:
        return self.augmentation(images) if self.augment.enabled else images

    def _generator_step(self, count: int) -> Tensor:
        self.discriminator.requires_grad_(False)
        fake, _ = self._fake(count, self._trained_mixing, self.recipe.w_average_every_pass)
        loss = softplus(-self.discriminator(self._shown(fake))).mean()
        self._update(self.generator_optimizer, loss)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _path_length_step(self, count: int) -> Tensor:
        """Steps of equal length in w should change the image by equal lengths.

        The published code takes the slope without gradients of convolution weights. That saves it
        time and changes no number: styles scale a convolution's maps, so that no weight depends on w,
        and the weights' gradients of the penalty arise behind the slope.
        """
        r = self.recipe
        images, ws = self._fake(count, self._trained_mixing, r.w_average_every_pass)
        noise = distributed.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (slope,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        mean = self.path_length.lerp(
            distributed.all_reduce_mean(lengths.mean()), r.path_length_decay
        )
        self.path_length = mean.detach()
        # As published, the gradient goes through the mean as well.
        penalty = (lengths - mean).square().mean() * r.path_length_weight
        # As published, what has no part in a penalty gets a gradient of zero, not none: Adam's
        # moments then decay.
        self._update(self.generator_optimizer, penalty * r.path_length_every + 0 * images.sum())
        return penalty.detach()

    def _discriminator_step(self, real: Tensor) -> Tensor:
        with torch.no_grad():
            fake, _ = self._fake(len(real), self._mixing, follow=True)
        shown = torch.cat([self._shown(real), self._shown(fake)])
        on_real, on_fake = self._trained_discriminator(shown, parts=2).chunk(2)
        loss = softplus(on_fake).mean() + softplus(-on_real).mean()
        self._update(self.discriminator_optimizer, loss)
        self._count_signs(on_real)
        return loss.detach()

    def _r1_step(self, real: Tensor, gamma: float) -> Tensor:
        real = real.detach().requires_grad_()
        with uncompiled(self.discriminator):
            on_real = self._trained_discriminator(self._shown(real))
        (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
        penalty = slope.square().sum((1, 2, 3)).mean() * (gamma / 2)
        loss = penalty * self.recipe.r1_every + 0 * on_real.sum()
        self._update(self.discriminator_optimizer, loss)
        self._count_signs(on_real)
        return penalty.detach()

    def _count_signs(self, on_real: Tensor) -> None:
        """Of every pass over real images, for `_adapt`."""
        signs = on_real.detach().sign()
        counted = torch.stack([signs.sum(), signs.new_full((), signs.numel())])
        self.signs = self.signs + distributed.all_reduce(counted)

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for parameter in optimizer.param_groups[0]["params"]:
            if parameter.grad is not None:
                # As published: a number that overflowed does not end the training.
                torch.nan_to_num(
                    parameter.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=parameter.grad
                )
        optimizer.step()

    @torch.no_grad()
    def _average(self, batch: int) -> None:
        """The EMA; its half-life is at most a share of the images before this step."""
        r = self.recipe
        half_life = 1000 * (heuristic_ema_kimg(batch) if r.ema_kimg is None else r.ema_kimg)
        if r.ema_rampup:
            half_life = min(half_life, self.images * r.ema_rampup)
        decay = 0.5 ** (batch / max(half_life, 1e-8))
        theirs = dict(self.generator.named_parameters())
        for name, parameter in self.ema.named_parameters():
            parameter.copy_(theirs[name].lerp(parameter, decay))
        buffers = dict(self.generator.named_buffers())
        for name, buffer in self.ema.named_buffers():
            buffer.copy_(buffers[name])

    def _adapt(self, count: int) -> None:
        """Augment more while the discriminator is surer of real images than the target, else less."""
        a, (total, number) = self.augment, self.signs
        change = count * a.every / (a.kimg * 1000)
        p = self.augmentation.p + torch.sign(total / number - a.target) * change
        self.augmentation.p.copy_(p.clamp(min=0))
        self.signs = torch.zeros_like(self.signs)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, but torch's global random state."""
        return {
            "steps": self.steps,
            "images": self.images,
            **{name: network.state_dict() for name, network in self.networks.items()},
            "augmentation": self.augmentation.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "path_length": self.path_length,
            "signs": self.signs,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.images = state["steps"], state["images"]
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        self.augmentation.load_state_dict(state["augmentation"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.path_length = state["path_length"].to(self.device)
        self.signs = state["signs"].to(self.device)
