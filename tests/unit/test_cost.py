"""Sizes and multiply-adds against counts by hand, and the measured speeds' form."""

import json

import pytest
import torch
from conftest import ROOT, fpa_ok
from test_golden import MODELS, built
from torch import nn

from baselines.dcgan import DCGAN
from fpa.core.files import write_json
from fpa.experiment.plan import Plan
from fpa.models.loading import shapes_only
from fpa.models.painter import Painter
from fpa.models.settings import PainterSettings
from fpa.training import cost


def by_hand(network: nn.Module, image: torch.Tensor) -> int:
    """Multiply-adds of the (transposed) convolutions of a sequential network, from their shapes."""
    total = 0
    for layer in network:
        before, image = image, layer(image)
        if isinstance(layer, nn.ConvTranspose2d):
            # Every input pixel is spread over a kernel.
            total += before[0].numel() * layer.out_channels * layer.kernel_size[0] ** 2
        elif isinstance(layer, nn.Conv2d):
            # Every output value gathers a kernel.
            total += image[0].numel() * layer.in_channels * layer.kernel_size[0] ** 2
    return total


@pytest.mark.parametrize("image_size", [16, 32])
def test_convolutions_are_counted_as_by_hand(image_size):
    model = DCGAN(image_size=image_size, channels=3, width=8, latent_dim=10)
    z, image = torch.zeros(2, 10), torch.zeros(2, 3, image_size, image_size)
    assert cost.multiply_adds(model.generator, z) == by_hand(model.generator, z)
    assert cost.multiply_adds(model.discriminator, image) == by_hand(model.discriminator, image)


def test_a_painter_is_counted_as_by_hand():
    T, H, X, D, C, L = 6, 20, 12, 8, 3, 16
    settings = PainterSettings(
        steps=T, hidden_size=H, mini_input_size=X, latent_dim=L, mini_latent_dim=4
    )
    with torch.device("meta"):
        painter, z = Painter(D, C, settings), torch.zeros(5, L)
    inputs = L * T * 4 + T * 4 * X + L * 2 * H
    lstm = T * 4 * H * (X + H)
    strokes = T * H * C * (2 * D + 1)
    # The Gram matrix of the keys, the triangular system (half of T x T), and U^T K.
    rule = C * (T * T * D + T * T * D // 2 + T * D * D)
    assert cost.multiply_adds(painter, z) == inputs + lstm + strokes + rule


def test_cost_of_a_run_by_hand(tiny, tmp_path):
    run = Plan(tiny).runs[0]
    write_json(tmp_path / "run.json", run.as_json())
    fpa_ok(
        *("cost", tmp_path / "run.json", "--seconds", 0, "--device", "cpu", "--threads", 1),
        *("--out", tmp_path / "cost.json"),
        cwd=ROOT,
    )
    found = json.loads((tmp_path / "cost.json").read_text())
    model = Plan(tiny).runs[0].model.name
    assert (found["model"], found["batch_size"]) == (model, run.training.batch_size)
    assert found["training_images_per_second"] > 0 < found["sampling_images_per_second"]
    assert found["hardware"]["threads"] == 1


def test_a_discriminator_that_wants_more_than_images_has_no_count(tiny, monkeypatch):
    class Picky(nn.Linear):
        def forward(self, images, labels):
            return images

    def build(run):
        model = DCGAN(image_size=16, channels=1, width=8)
        model.networks["discriminator"] = Picky(2, 3)
        return model

    monkeypatch.setattr(cost, "build_model", build)
    found = cost.count(Plan(tiny).runs[0])
    assert found["discriminator_multiply_adds"] is None
    assert found["discriminator_parameters"] == 9
    assert found["generator_multiply_adds"] > 0


@pytest.mark.parametrize("config", ["config.yaml", "experiments/smoke.yaml"])
def test_every_model_of_the_experiments_is_counted_whole(config):
    from fpa.experiment.config import read_config

    for run in Plan(read_config(ROOT / config)).runs:
        assert all(cost.count(run).values()), run.model.name


@pytest.mark.parametrize("name", list(MODELS))
def test_networks_of_shapes_alone_have_those_of_the_networks(name):
    with shapes_only():
        shapes = built(name)
    for key, network in built(name).networks.items():
        found = shapes.networks[key].state_dict()
        assert all(value.device.type == "meta" for value in found.values())
        expected = {path: (v.shape, v.dtype) for path, v in network.state_dict().items()}
        assert {path: (v.shape, v.dtype) for path, v in found.items()} == expected
