"""One of several processes of test_distributed.py: trains by a recipe in float64."""

import json
import sys

import torch
from conftest import RECIPE, TINY

from fpa.core import distributed
from fpa.models import loading
from fpa.runs.processes import hard_exit

PAINTER = {**TINY["models"]["fpa"]["settings"], "recipe": {**RECIPE, "penalty_every": 3}}
# The U-Net's training is chaotic: in one process, weights that differ by 2e-16 differ by 3e-6 after
# 20 steps, even at a tenth of the published rate; LightGAN and StyleGAN2 are
# little better. Smaller steps leave room below 1e-6.
SLOW = {"learning_rate": 2e-6}
REFINED = {**TINY["models"]["fpa_unet"]["settings"], "recipe": {**RECIPE, **SLOW}}
LIGHT = {**TINY["models"]["lightgan"]["settings"], "recipe": {**RECIPE, **SLOW}}
STYLE = {
    "networks": {"latent_dim": 8, "w_dim": 8, "channel_max": 8, "deviation_group": 8},
    "recipe": {
        "learning_rate": 5e-4,
        "r1_every": 3,
        "path_length_every": 2,
        "r1_gamma": 1.0,
        "style_mixing": 0.5,
    },
    "augment": {"every": 2, "kimg": 0.1},
}
RECIPES = {
    "fpa": ("fpa.models:FPA", PAINTER, None),
    "fpa_unet": ("fpa.models:FPAUNet", REFINED, PAINTER),
    "lightgan": ("baselines.lightgan:LightGAN", LIGHT, None),
    "stylegan2_ada": ("baselines.stylegan2_ada:StyleGAN2ADA", STYLE, None),
    "cifar": ("baselines.stylegan2_ada:StyleGAN2ADA", {**STYLE, "preset": "cifar"}, None),
    "dcgan": ("baselines.dcgan:DCGAN", {"latent_dim": 8, "width": 4}, None),
}
"""class, settings and base's settings of every recipe, small, each penalty often."""
SIZE = 16


def train(name: str, first: int, steps: int, before: dict | None) -> dict:
    """State after steps `first` to `steps` on random images, and the last one's losses."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model_class, settings, base = RECIPES[name]
    model = loading.build(model_class, settings, SIZE, 1, base)
    model.to(torch.device("cpu"))
    images = torch.rand(4 * 8, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(6))
    if before:
        model.load_state_dict(before["state"])
        torch.set_rng_state(before["random"])
    for step in range(first, steps):
        batch = images[step % 4 * 8 : step % 4 * 8 + 8]
        losses = model.step(distributed.shard(batch).clone())
    return {
        "state": model.state_dict(),
        "losses": distributed.all_reduce_means(losses),
        "random": torch.get_rng_state(),
    }


if __name__ == "__main__":
    distributed.init(torch.device("cpu"))
    # Several trainings, because a process takes longer to start than to train.
    for name, first, steps, state, out in json.loads(sys.argv[1]):
        before = torch.load(state, weights_only=True) if state else None
        torch.save(train(name, first, steps, before), f"{out}.rank{distributed.rank()}.pt")
    distributed.shut_down()
    hard_exit(0)
