"""What looks on while a training runs changes nothing in it, cannot stop it, and says what it does."""

import logging
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fpa.core.errors import Stopped, UserError
from fpa.core.files import file_digest
from fpa.data.sampler import EpochSampler
from fpa.data.store import open_store
from fpa.evaluation.sampling import LARGEST_SNAPSHOT as LARGEST
from fpa.evaluation.sampling import SNAPSHOT_COUNT as COUNT
from fpa.evaluation.sampling import snapshot
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.training import observers
from fpa.training.loggers import LOGGERS, LoggerKind
from fpa.training.loop import MOST_SNAPSHOTS, BestCheckpoint, Training, snapshot_is_due
from fpa.training.observers import SnapshotLog, StatusFile
from fpa.training.train_run import train

CPU = torch.device("cpu")
LATENT_DIM = 8
ARTIFACTS = ("weights.safetensors", "history.csv")


@pytest.fixture
def store(digits) -> Path:
    return digits


@pytest.fixture
def run(small):
    """Twelve steps of a model that takes no time, with a quick score after every fourth."""
    small["models"] = {
        "dcgan": {
            "class": "baselines.dcgan:DCGAN",
            "settings": {"width": 4, "latent_dim": LATENT_DIM, "learning_rate": 0.05},
        }
    }
    return Plan(small).runs[0]


def score(generator) -> dict[str, float]:
    """A quick score that takes no network, and random numbers."""
    with torch.inference_mode():
        return {"fid": float(generator(torch.randn(4, LATENT_DIM)).sum())}


def training(run, store: Path, watched: bool = True) -> Training:
    images, manifest = open_store(store)
    return Training(
        run,
        EpochSampler(images, run.training.batch_size, run.seed),
        manifest.images_sha256,
        device=CPU,
        log_every=3,
        checkpoint_kimg=0.016,
        watch=score,
        snapshot=snapshot(LATENT_DIM, 0, CPU) if watched else None,
    )


def digests(folder: Path) -> list[str]:
    return [file_digest(folder / name) for name in ARTIFACTS]


@pytest.fixture
def alone(run, store, tmp_path) -> list[str]:
    """Digests of the training that nobody looks on."""
    train(training(run, store, watched=False), tmp_path / "alone")
    assert not (tmp_path / "alone" / "snapshots.npz").exists()
    return digests(tmp_path / "alone")


class Own:
    """A logger that draws random numbers in every method, notes what it is told, and may raise."""

    def __init__(self, beginning, failing: str, told: list) -> None:
        self.failing, self.told = failing, told
        self._do("begin", beginning.step)

    def _do(self, method: str, *what) -> None:
        torch.rand(3)
        torch.manual_seed(7)
        self.told.append((method, *what))
        if method == self.failing:
            raise SystemExit(3) if method == "close" else ConnectionError("no route\nto host")

    def log(self, row, images) -> None:
        self._do("log", row["step"], None if images is None else images.shape)

    def close(self, state) -> None:
        self._do("close", state)


def with_own(failing: str = "") -> list:
    """Register the logger; what it is told."""
    told: list = []
    target = lambda beginning: Own(beginning, failing, told)  # noqa: E731
    LOGGERS.register("own", LoggerKind("own", "json", target))
    return told


def test_a_logger_and_snapshots_leave_every_bit_as_it_is(run, store, tmp_path, alone):
    told = with_own()
    train(training(run, store), tmp_path / "watched", ["own"])
    assert digests(tmp_path / "watched") == alone
    pictures = (COUNT, 1, 16, 16)
    assert told == [
        ("begin", 0),
        *(("log", step, pictures if step % 4 == 0 else None) for step in (0, 3, 4, 6, 8, 9, 12)),
        ("close", "finished"),
    ]


@pytest.mark.parametrize("failing", ["begin", "log", "close"])
def test_a_logger_that_fails_costs_one_line(run, store, tmp_path, alone, caplog, failing):
    told = with_own(failing)
    with caplog.at_level(logging.WARNING, logger="fpa"):
        train(training(run, store), tmp_path / "watched", ["own"])
    assert digests(tmp_path / "watched") == alone
    (line,) = caplog.messages
    expected = "3" if failing == "close" else "no route"
    assert line == f"logger own: {expected}; the training continues without it"
    # After it has failed, it is asked for nothing any more.
    assert [method for method, *_ in told].count(failing) == 1
    assert told[-1][0] == failing


def test_a_missing_package_does_not_stop_a_training(run, store, tmp_path, alone, caplog):
    LOGGERS.register("own", LoggerKind("own", "no_such_package", print))
    train(training(run, store), tmp_path / "watched", ["own", "unknown"])
    assert digests(tmp_path / "watched") == alone
    assert "needs the package no_such_package" in caplog.text
    assert "unknown logger 'unknown'" in caplog.text


def test_the_status_says_what_a_finished_training_did(run, store, tmp_path):
    train(training(run, store), tmp_path)
    found = RunFolder(tmp_path).read_status()
    assert (found.state, found.step, found.steps) == ("finished", 12, 12)
    assert found.kimg == pytest.approx(0.096)
    assert found.losses["step"] == 12
    assert {"fid", "precision"}.isdisjoint(found.losses)
    assert found.score["kimg"] == pytest.approx(0.096)
    assert set(found.best) == {"kimg", "fid"}
    assert found.pid == os.getpid()
    assert found.seconds_left is None


def stopping_at(last: int, one: Training) -> Training:
    """The same, with a signal in the middle of a step."""
    step = one.model.step

    def stopped(real):
        if one.step == last - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(real)

    one.model.step = stopped
    return one


def test_a_stopped_training_says_so(run, store, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with pytest.raises(Stopped):
        train(stopping_at(6, training(run, store)), tmp_path)
    found = RunFolder(tmp_path).read_status()
    assert (found.state, found.step, found.slurm_job) == ("stopped", 6, "4711")
    assert found.reason.startswith("SIGTERM: saved step 6 of 12")


def test_a_failed_training_says_why(run, store, tmp_path, monkeypatch):
    monkeypatch.setattr("fpa.training.loop.MAX_RELOADS", 0)
    one = training(run, store)
    one.model.step = lambda real: {"loss": torch.tensor(float("nan"))}
    with pytest.raises(UserError, match="was NaN"):
        train(one, tmp_path)
    found = RunFolder(tmp_path).read_status()
    assert found.state == "failed"
    assert "was NaN 1 times" in found.reason


def test_a_status_that_cannot_be_written_costs_one_line(run, store, tmp_path, alone, caplog):
    for name in ("status.json", "snapshots.npz"):
        (tmp_path / "watched" / name).mkdir(parents=True)
    train(training(run, store), tmp_path / "watched")
    assert digests(tmp_path / "watched") == alone
    assert caplog.text.count("continues without its status") == 1
    assert caplog.text.count("continues without its snapshots") == 1


def test_a_status_is_written_at_intervals_and_tells_speed_and_time_left(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(observers.time, "monotonic", lambda: now[0])
    told = SimpleNamespace(step=20, steps=100, history=[], best=None, nan_reloads=0)
    told.kimg = lambda: told.step * 32 / 1000
    file = StatusFile(tmp_path / "status.json", told)
    assert not file.is_due()
    assert RunFolder(tmp_path).read_status().images_per_second is None
    now[0] += observers.STATUS_SECONDS
    assert file.is_due()
    # 20 steps in 10 s, so 60 more in 30 s.
    told.step, told.best = 40, BestCheckpoint(0.5, 9.0, {})
    told.history = [{"step": 30, "kimg": 0.96, "loss": float("inf"), "fid": float("nan")}]
    file.write(told, "training")
    found = RunFolder(tmp_path).read_status()
    assert found.images_per_second == pytest.approx(64)
    assert found.seconds_left == pytest.approx(30)
    assert found.losses == {"step": 30, "kimg": 0.96, "loss": None}
    assert found.score["fid"] is None
    assert found.best == {"kimg": 0.5, "fid": 9.0}


def test_the_film_of_a_continued_training_is_that_of_an_undisturbed_one(run, store, tmp_path):
    train(training(run, store), tmp_path)
    with np.load(tmp_path / "snapshots.npz") as found:
        whole = dict(found)
    assert whole["step"].tolist() == [0, 4, 8, 12]
    assert whole["images"].shape == (4, COUNT, 1, 16, 16)
    assert whole["images"].dtype == np.uint8
    assert len({images.tobytes() for images in whole["images"]}) == 4
    # As if it had been killed: the newest checkpoint is at step 6, the film is ahead of it.
    with pytest.raises(Stopped):
        train(stopping_at(6, training(run, store)), tmp_path / "again")
    assert RunFolder(tmp_path / "again").load_checkpoint()["step"] == 6
    shutil.copy(tmp_path / "snapshots.npz", tmp_path / "again")
    told = with_own()
    train(training(run, store), tmp_path / "again", ["own"])
    assert told[:2] == [("begin", 6), ("log", 8, (COUNT, 1, 16, 16))]
    assert digests(tmp_path / "again") == digests(tmp_path)
    with np.load(tmp_path / "again" / "snapshots.npz") as found:
        assert all(np.array_equal(found[key], value) for key, value in whole.items())


def test_a_film_goes_back_with_its_training_and_outlives_a_damaged_file(tmp_path, caplog):
    images = np.zeros((COUNT, 1, 4, 4), np.uint8)
    film = SnapshotLog(tmp_path / "snapshots.npz", 0)
    for step in (0, 4, 8):
        film.add({"step": step, "kimg": step / 1, "fid": 1.0}, images + step)
    film.cut(5)
    film.add({"step": 8, "kimg": 8.0, "fid": 2.0}, images + 9)
    with np.load(film.path) as found:
        assert found["step"].tolist() == [0, 4, 8]
        assert found["fid"].tolist() == [1, 1, 2]
        assert found["images"][:, 0, 0, 0, 0].tolist() == [0, 4, 9]
    film.path.write_bytes(film.path.read_bytes()[:-40])
    assert SnapshotLog(film.path, 8).frames == []
    assert "its snapshots are lost" in caplog.text


@pytest.mark.parametrize("every", [1, 3, 10, 500])
@pytest.mark.parametrize("steps", [1, 7, 31, 310, 311, 12_345])
def test_a_film_is_short_and_has_the_beginning_and_the_end(steps, every):
    scored = [step for step in range(steps + 1) if step % every == 0 or step == steps]
    shown = [step for step in scored if snapshot_is_due(step, steps, every)]
    assert len(shown) <= MOST_SNAPSHOTS
    assert (shown[0], shown[-1]) == (0, steps)
    if len(scored) < MOST_SNAPSHOTS:
        assert shown == scored
    else:
        assert len(shown) > MOST_SNAPSHOTS // 3


def test_snapshots_are_of_the_same_latents_and_small():
    class Enlarged(torch.nn.Module):
        """The latent's first number everywhere; NaN in one corner."""

        def forward(self, z):
            image = z[:, :1, None, None].sigmoid().repeat(1, 3, 256, 256)
            image[:, :, :4, :4] = torch.nan
            return image

    take = snapshot(LATENT_DIM, 5, CPU)
    first = take(Enlarged())
    torch.rand(3)
    assert np.array_equal(take(Enlarged()), first)
    assert first.shape == (COUNT, 3, LARGEST, LARGEST)
    assert (first[:, :, 0, 0] == 0).all()
    assert len(np.unique(first[:, 0, 1, 1])) == COUNT
    assert not np.array_equal(snapshot(LATENT_DIM, 6, CPU)(Enlarged()), first)
