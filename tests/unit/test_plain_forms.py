"""Whole training steps with the fast forms and with the plain ones: the same numbers."""

import pytest
import torch
from conftest import ROOT
from test_golden import built


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
