"""Whole training steps with the fast forms and with the plain ones: the same numbers."""

from contextlib import nullcontext
from unittest.mock import patch

import pytest
import torch
from conftest import ROOT
from test_golden import built

from fpa.models import layers, learning_rules

STEPS = 10


@pytest.fixture
def plain_forms(monkeypatch):
    """benchmarks/plain_forms.py's context: what is computed in it takes the plain forms."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from plain_forms import plain_forms

    return plain_forms


def trained(name: str, steps: int) -> tuple[list[dict], dict]:
    """Losses and weights of a few steps in float64, penalty and all."""
    model = built(name)
    for network in model.networks.values():
        network.double()
    losses = [model.step(torch.rand(4, 1, 16, 16)) for _ in range(steps)]
    weights = {
        f"{network}.{key}": value.clone()
        for network, module in model.networks.items()
        for key, value in module.state_dict().items()
    }
    return losses, weights


@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "lightgan", "stylegan2_ada"])
def test_training_steps_are_those_of_the_plain_forms(name, plain_forms):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        losses, weights = trained(name, 3)
        with plain_forms():
            plain_losses, plain_weights = trained(name, 3)
    finally:
        torch.set_default_dtype(before)
    # Rounding of float64, which batch norm over four images and Adam's first steps enlarge: each moves
    # a weight by some 2e-4 whatever its gradient's size, so that the smallest gradients' rounding shows.
    close = {"rtol": 1e-6, "atol": 1e-8}
    for ours, plain in zip(losses, plain_losses, strict=True):
        assert ours.keys() == plain.keys()
        for key, value in plain.items():
            torch.testing.assert_close(ours[key], value, **close)
    assert weights.keys() == plain_weights.keys()
    for key, value in plain_weights.items():
        torch.testing.assert_close(weights[key], value, **close)


def losses(forms, nudge: float = 0) -> torch.Tensor:
    """Losses (STEPS, losses) of the FPA on random images, in float32; NaN where a step has none."""
    with forms:
        model = built("fpa")
        random = torch.Generator().manual_seed(5)
        for network in model.networks.values():
            for weight in network.state_dict().values():
                if weight.is_floating_point():
                    weight.mul_(1 + nudge * torch.randn(weight.shape, generator=random))
        torch.manual_seed(1)
        rows = [model.step(torch.rand(4, 1, 16, 16)) for _ in range(STEPS)]
    nan = torch.tensor(torch.nan)
    return torch.stack([torch.stack([row.get(key, nan) for key in rows[0]]) for row in rows])


def test_fast_forms_drift_from_the_plain_ones_no_further_than_rounding(monkeypatch, plain_forms):
    """Against weights that begin 1e-7 off, about a float32's last digit."""

    def plain(nudge: float = 0) -> torch.Tensor:
        with patch.object(learning_rules, "delta", learning_rules.delta_loop):
            return losses(plain_forms(), nudge)

    def drift(other: torch.Tensor) -> torch.Tensor:
        return (other - first).abs().nan_to_num().amax(dim=1).cummax(dim=0).values

    first = plain()
    # How fast a nudge grows differs from one to the next, and there are two of them.
    nudged = torch.stack([drift(plain(1e-7)), drift(plain(-1e-7))]).amax(dim=0)
    assert (drift(losses(nullcontext())) <= 3 * nudged).all()
    gather = layers.gather
    monkeypatch.setattr(layers, "gather", lambda weights, maps: gather(weights, maps) * (1 + 1e-4))
    assert drift(losses(nullcontext()))[-1] > 10 * nudged[-1]
