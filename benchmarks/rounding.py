"""How far training with the fast forms drifts from training with the plain ones: no further than rounding.

    export PYTHONPATH=.:tests:tests/unit
    python benchmarks/rounding.py                     every recipe, small, 100 steps: two minutes
    python benchmarks/rounding.py fpa --steps 500

Three trainings with the plain forms are compared with one with the fast forms, all from the same weights
and random numbers: one as it is, and two whose weights begin 1e-7 off, about a float32's last digit.
Prints the largest difference of any loss so far. Where training is chaotic, all grow alike; fast forms
with an error of their own would leave the others behind.
"""

import argparse
from contextlib import nullcontext
from unittest.mock import patch

import torch
from plain_forms import plain_forms
from test_golden import MODELS, built

from fpa.models import learning_rules

NUDGE = 1e-7
SHOWN = (1, 10, 30, 100, 300, 1000)


def losses(name: str, steps: int, plain: bool, nudge: float = 0) -> torch.Tensor:
    """The losses (steps, losses) of a recipe on random images; NaN where a step has none."""
    rule = patch.object(learning_rules, "delta", learning_rules.delta_loop)
    with plain_forms() if plain else nullcontext(), rule if plain else nullcontext():
        model = built(name)
        random = torch.Generator().manual_seed(5)
        for network in model.networks.values():
            for weight in network.state_dict().values():
                if weight.is_floating_point():
                    weight.mul_(1 + nudge * torch.randn(weight.shape, generator=random))
        torch.manual_seed(1)
        rows = [model.step(torch.rand(4, 1, 16, 16)) for _ in range(steps)]
    names = rows[0].keys()
    nan = torch.tensor(torch.nan)
    return torch.stack([torch.stack([row.get(key, nan) for key in names]) for row in rows])


def drifts(name: str, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest differences of losses up to each step (steps,): of the fast forms, and of a nudge."""
    plain = losses(name, steps, True)

    def drift(other: torch.Tensor) -> torch.Tensor:
        return (other - plain).abs().nan_to_num().amax(dim=1).cummax(dim=0).values

    nudged = [drift(losses(name, steps, True, sign * NUDGE)) for sign in (1, -1)]
    return drift(losses(name, steps, False)), torch.stack(nudged).amax(dim=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), help="of " + ", ".join(MODELS))
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':14} {'step':>5} {'fast forms':>12} {'nudge':>12}")
    for name in options.models:
        fast, nudged = drifts(name, options.steps)
        for step in sorted({*SHOWN, options.steps}):
            if step <= options.steps:
                print(f"{name:14} {step:5} {fast[step - 1]:12.1e} {nudged[step - 1]:12.1e}")


if __name__ == "__main__":
    main()
