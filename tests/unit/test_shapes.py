"""Networks of shapes alone: those of the real ones, at the price of importing torch."""

import pytest
from conftest import modules_loaded_by
from test_golden import MODELS, built

from fpa.models.loading import shapes_only

CLASSES = [
    "fpa.models:FPA",
    "baselines.lightgan:LightGAN",
    "baselines.stylegan2_ada:StyleGAN2ADA",
]


@pytest.mark.parametrize("name", list(MODELS))
def test_shapes_are_those_of_the_networks(name):
    with shapes_only():
        shapes = built(name)
    for key, network in built(name).networks.items():
        found = shapes.networks[key].state_dict()
        assert all(value.device.type == "meta" for value in found.values())
        expected = {path: (v.shape, v.dtype) for path, v in network.state_dict().items()}
        assert {path: (v.shape, v.dtype) for path, v in found.items()} == expected


def test_torchs_compiler_stays_away():
    loaded = modules_loaded_by(
        "from fpa.models import loading\n"
        "from fpa.models.loading import shapes_only\n"
        "with shapes_only():\n"
        f"    for name in {CLASSES}:\n"
        "        loading.build(name, {}, 32, 3)\n"
    )
    assert "torch" in loaded
    assert "torch._dynamo" not in loaded
