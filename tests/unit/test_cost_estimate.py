"""What an experiment costs, before anything runs: hours, energy and disk space."""

import itertools

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, fpa, fpa_ok

from fpa.core import artifacts
from fpa.core.files import write_json
from fpa.experiment.plan import Plan
from fpa.training.cost import bytes_on_disk
from fpa.training.loop import Training
from fpa.workflow.cost_estimate import disk_usage, efforts, read_rates, shortest_hours


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
def test_the_shortest_time_is_limited_by_places_and_by_what_comes_first(
    experiment, together, hours
):
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
