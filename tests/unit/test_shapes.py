"""Networks of shapes alone: those of the real ones, at the price of importing torch."""

import pytest
from test_golden import MODELS, built

from fpa.models.loading import shapes_only


@pytest.mark.parametrize("name", list(MODELS))
def test_shapes_are_those_of_the_networks(name):
    with shapes_only():
        shapes = built(name)
    for key, network in built(name).networks.items():
        found = shapes.networks[key].state_dict()
        assert all(value.device.type == "meta" for value in found.values())
        expected = {path: (v.shape, v.dtype) for path, v in network.state_dict().items()}
        assert {path: (v.shape, v.dtype) for path, v in found.items()} == expected
