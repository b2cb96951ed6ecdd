"""Sizes, multiply-adds and speeds of models, and what an experiment costs before anything runs: hours, energy and disk
space."""

import itertools
import json

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, fpa, fpa_ok
from test_golden import MODELS, built
from torch import nn

from baselines.dcgan import DCGAN
from fpa.core import artifacts
from fpa.core.files import write_json
from fpa.experiment.plan import Plan
from fpa.models.loading import shapes_only
from fpa.models.painter import Painter
from fpa.models.settings import PainterSettings
from fpa.training import cost
from fpa.training.cost import bytes_on_disk
from fpa.training.loop import Training
from fpa.workflow.cost_estimate import disk_usage, efforts, read_rates, shortest_hours


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


@pytest.fixture
def experiment(tiny, tmp_path) -> Plan:
    """Two seeds of three models, of which the U-Net starts from the FPA."""
    tiny["seeds"] = [0, 1]
    tiny["results"] = str(tmp_path / "results")
    tiny["training"]["kimg"] = 3.6
    tiny["models"]["lightgan"]["training"] = {"kimg": 7.2}
    return Plan(tiny)


def finish(experiment: Plan, model: str, seed: int, rate: float = 0) -> None:
    run = next(r for r in experiment.runs if (r.model.name, r.seed) == (model, seed))
    folder = experiment.results / run.folder
    write_json(folder / artifacts.SUMMARY, {"digest": run.digest})
    if rate:
        cost = {"training_images_per_second": rate, "hardware": {"cpu": "Pentium"}}
        write_json(folder / artifacts.COST, cost)


def test_hours_are_images_over_their_rate(experiment):
    rates = read_rates(["2", "lightgan=4"], experiment)
    found = {effort.model: effort for effort in efforts(experiment, rates)}
    assert {model: effort.hours for model, effort in found.items()} == pytest.approx(
        {"fpa": 1.0, "fpa_unet": 1.0, "lightgan": 1.0}
    )
    assert found["fpa"].steps == 2 * 450
    assert found["lightgan"].images == 14_400


def test_only_what_is_left_to_train_counts(experiment):
    finish(experiment, "fpa", 0)
    (fpa, *_) = efforts(experiment, {"fpa": 1.0})
    assert (fpa.runs, fpa.trained, fpa.images) == (2, 1, 3600)
    finish(experiment, "fpa", 1)
    (fpa, *_) = efforts(experiment, {})
    assert fpa.hours == 0


def test_a_rate_is_given_or_measured_or_unknown(experiment):
    finish(experiment, "fpa", 0, rate=7)
    given, measured, unknown = (
        next(iter(efforts(experiment, {"fpa": 3.0}))),
        *list(efforts(experiment, {}))[:2],
    )
    assert (given.rate, given.source) == (3, "given")
    assert (measured.rate, measured.source) == (7, "measured on Pentium")
    assert unknown.source == "unknown"
    now = list(efforts(experiment, {}, measure=0.01))[1]
    assert now.source == "measured now"
    assert now.rate > 0


@pytest.mark.parametrize(
    ("together", "hours"),
    # Six trainings of half an hour each; the U-Net's come after their painters'.
    [(1, 3.0), (2, 1.5), (3, 1.0), (100, 1.0)],
)
def test_the_shortest_time_is_limited_by_places_and_bases(experiment, together, hours):
    found = list(efforts(experiment, read_rates(["2", "lightgan=4"], experiment)))
    assert shortest_hours(experiment, found, together) == pytest.approx(hours)


def test_the_plan_prints_hours_gpu_hours_and_energy(tmp_path):
    config = yaml.safe_load((ROOT / "experiments/smoke.yaml").read_text())
    config["runtime"]["device"] = "auto"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = fpa_ok("plan", "config.yaml", "--cost", cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("hours are unknown: give speeds (--rate")
    done = fpa("plan", "config.yaml", "--cost", "--rate", "0.01", "--watts", "300", cwd=tmp_path)
    *_, last = done.stdout.splitlines()
    assert "GPU-hours" in last
    assert "kWh at 300 W" in last
    done = fpa("plan", "config.yaml", "--cost", "--watts", "-3", cwd=tmp_path)
    assert done.returncode == 2
    assert "above 0" in done.stderr


def shipped(name: str) -> Plan:
    return Plan(yaml.safe_load((ROOT / "experiments" / f"{name}.yaml").read_text()))


class Noise:
    """Random images, the same ones in each batch, as a EpochSampler has them."""

    images = np.random.default_rng(0).integers(0, 256, (16, 1, 16, 16), dtype=np.uint8)

    def next_rows(self):
        return np.arange(16)

    def state_dict(self):
        return {}


def size(value) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    return sum(map(size, value)) if isinstance(value, list | tuple) else 0


@pytest.mark.parametrize("model", ["fpa", "fpa_unet", "lightgan", "stylegan2_ada", "dcgan"])
def test_a_training_takes_the_room_that_was_estimated(model):
    smoke = shipped("smoke")
    run = next(run for run in smoke.runs if run.model.name == model)
    better = itertools.count(100, -1)
    training = Training(
        run, Noise(), "", torch.device("cpu"), 1, watch=lambda _: {"fid": float(next(better))}
    )
    # One best checkpoint at the start, a better one in which every optimizer has its state.
    for _ in range(training.watch_every):
        training.advance()
    finished, checkpoint = bytes_on_disk(run)
    # Frozen parameters have no moments; random states and counters are not estimated.
    assert size(training.weights()) == pytest.approx(finished, rel=0.01)
    assert size(training.state_dict()) == pytest.approx(checkpoint, rel=0.06)


def test_the_papers_experiment_fits_on_60_gb():
    disk = disk_usage(shipped("paper"))
    assert 50e9 < disk.peak(together=1) <= 60e9
    # By hand: features of six spaces, two of them with logits, and the samples, of 50,000 images.
    a_run = 50_000 * (3 * 64 * 64 + 4 * (6 * 2048 + 2 * 1008))
    assert disk.scoring == a_run
    assert disk.peak(3) - disk.peak(2) == disk.training + disk.scoring
    real = 202_599 + 126_227 + 5_153 + 4_739 + 4_738 + 1_336
    assert disk.kept["prepared images"] == real * 3 * 64 * 64
    assert disk.kept["features of real images"] == real * 4 * 6 * 2048


def test_the_plan_shows_bytes_of_each_kind_and_the_peak(tmp_path):
    config = ROOT / "experiments" / "smoke.yaml"
    done = fpa_ok("plan", config, "--disk", "--together", 2, cwd=tmp_path)
    rows = {line[:40].strip(): line[40:].strip() for line in done.stdout.splitlines()[-8:]}
    assert rows["prepared images"] == "460.0 kB"
    assert rows["archives"] == "0 bytes"
    assert list(rows)[-3:] == [
        "checkpoints of 2 in training",
        "samples and features of 2 in scoring",
        "at most, together",
    ]
    assert "prepared images" not in fpa("plan", config, cwd=tmp_path).stdout
