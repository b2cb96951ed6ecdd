"""DCGAN (Radford et al., 2016): the smallest complete example of a model.

A model is one class (fpa/models/interface.py says what it brings). Whatever its constructor takes
besides `image_size` and `channels` are its settings; their type hints are their schema.
"""

import copy
import math
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from fpa.core import distributed
from fpa.core.torch_utils import to_device
from fpa.models.convolutions import FromVector


def generator(image_size: int, channels: int, latent_dim: int, width: int) -> nn.Sequential:
    """latents (B, L) -> images (B, C, H, W) in [0, 1]."""
    doublings = int(math.log2(image_size)) - 2
    wide = [width * 2**n for n in reversed(range(doublings))]
    layers = [nn.Unflatten(1, (latent_dim, 1, 1)), FromVector(latent_dim, wide[0], 4)]
    for inputs, outputs in zip(wide, [*wide[1:], channels], strict=True):
        layers += [distributed.BatchNorm2d(inputs), nn.ReLU()]
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    return nn.Sequential(*layers, nn.Sigmoid())


def discriminator(image_size: int, channels: int, width: int) -> nn.Sequential:
    """images (B, C, H, W) in [0, 1] -> logits (B, 1), positive for real."""
    wide = [width * 2**n for n in range(int(math.log2(image_size)) - 2)]
    layers: list[nn.Module] = []
    for inputs, outputs in zip([channels, *wide[:-1]], wide, strict=True):
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)]
        layers += [distributed.BatchNorm2d(outputs)] if layers[1:] else []
        layers += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(wide[-1], 1, 4), nn.Flatten())


class DCGAN:
    """Implements fpa.models.interface.Model: `latent_dim`, `ema`, `networks`, four methods."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        latent_dim: int = 100,
        width: int = 64,
        learning_rate: float = 2e-4,
        ema_decay: float = 0.999,
    ) -> None:
        self.latent_dim, self.ema_decay = latent_dim, ema_decay
        self.generator = generator(image_size, channels, latent_dim, width)
        self.discriminator = discriminator(image_size, channels, width)
        for part in (*self.generator, *self.discriminator):
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(part.weight, 0, 0.02)
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.trained: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        self.networks = {**self.trained, "ema": self.ema}
        self.adam = partial(torch.optim.Adam, lr=learning_rate, betas=(0.5, 0.999))

    @cached_property
    def saved(self) -> dict[str, Any]:
        # Made when it is first used: to sample needs no Adam, which takes torch a second to load.
        adam = {f"{n} optimizer": self.adam(net.parameters()) for n, net in self.trained.items()}
        return self.networks | adam

    def step(self, real: Tensor) -> dict[str, Tensor]:
        """One update of each network on real images (B, C, H, W) in [0, 1]; its losses."""
        generate, judge = self.trained.values()
        fake = generate(to_device(distributed.randn(len(real), self.latent_dim), real.device))
        on_real, on_fake = judge(real), judge(fake.detach())
        d_loss = softplus(-on_real).mean() + softplus(on_fake).mean()
        self._update("discriminator", d_loss)
        self._update("generator", g_loss := softplus(-self.discriminator(fake)).mean())
        theirs = self.generator.state_dict()
        for name, value in self.ema.state_dict().items():
            decay = self.ema_decay if value.is_floating_point() else 0
            value.copy_(theirs[name] + decay * (value - theirs[name]))
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}

    def _update(self, name: str, loss: Tensor) -> None:
        self.saved[f"{name} optimizer"].zero_grad()
        loss.backward()
        self.saved[f"{name} optimizer"].step()

    def to(self, device: torch.device) -> None:
        for network in self.networks.values():
            network.to(device)
        self.trained = {n: distributed.data_parallel(self.networks[n]) for n in self.trained}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.saved.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self.saved.items():
            part.load_state_dict(state[name])
