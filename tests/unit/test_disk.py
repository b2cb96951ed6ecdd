"""The room that an experiment takes, estimated before anything runs."""

import itertools

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, fpa

from fpa.experiment.plan import Plan
from fpa.training.cost import bytes_on_disk
from fpa.training.loop import Training
from fpa.workflow.cost_estimate import disk_usage


def experiment(name: str) -> Plan:
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
    smoke = experiment("smoke")
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
    disk = disk_usage(experiment("paper"))
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
    done = fpa("plan", config, "--disk", "--together", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {line[:40].strip(): line[40:].strip() for line in done.stdout.splitlines()[-8:]}
    assert rows["prepared images"] == "460.0 kB"
    assert rows["archives"] == "0 bytes"
    assert list(rows)[-3:] == [
        "checkpoints of 2 in training",
        "samples and features of 2 in scoring",
        "at most, together",
    ]
    assert "prepared images" not in fpa("plan", config, cwd=tmp_path).stdout
