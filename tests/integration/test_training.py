"""Trainings that are stopped, killed, damaged or go wrong, and what becomes of them."""

import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import HANGING, ROOT, fpa, fpa_ok, started
from conftest import run as run_program

from fpa.core.errors import Stopped, UserError
from fpa.core.files import file_digest, write_json
from fpa.core.provenance import STAGES
from fpa.data.sampler import EpochSampler
from fpa.data.store import open_store
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.training.loop import MAX_RELOADS, Training
from fpa.training.train_run import train

CPU = torch.device("cpu")
STEPS = 60
LONG = 160
"""Steps of a training that a test has time to kill."""


@pytest.fixture
def store(tmp_path, digits) -> Path:
    """A copy of the data set, to change."""
    return shutil.copytree(digits, tmp_path / "data" / digits.name)


@pytest.fixture(autouse=True)
def one_thread():
    """As the subprocesses here: another number of threads rounds differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CHECKPOINT_KIMG = 0.16


def run_of_steps(tiny, steps: int):
    """A run of short steps, a checkpoint after every 20, without quick scores."""
    del tiny["models"]["fpa_unet"]  # would start from the best checkpoint
    tiny["training"] |= {"kimg": steps * 8 / 1000, "watch_kimg": 0}
    tiny["evaluation"]["checkpoint"] = "last"
    return Plan(tiny).runs[0]


@pytest.fixture
def run(tiny):
    return run_of_steps(tiny, STEPS)


@pytest.fixture
def watched_run(tiny):
    """Of 30 steps, with a quick score after every fifth."""
    tiny["training"] |= {"kimg": 0.24, "watch_kimg": 0.04}
    return Plan(tiny).runs[0]


@pytest.fixture
def long_run(tiny):
    return run_of_steps(tiny, LONG)


def training(run, store: Path, **options) -> Training:
    images, manifest = open_store(store)
    options = {"device": CPU, "log_every": 10, "checkpoint_kimg": CHECKPOINT_KIMG, **options}
    feed = EpochSampler(images, run.training.batch_size, run.seed)
    return Training(run, feed, manifest.images_sha256, **options)


def words(run, store: Path, folder: Path) -> list[str]:
    """What follows `fpa` to train a run."""
    write_json(folder / "run.json", run.as_json())
    arguments = ["train", folder / "run.json", "--store", store, "--threads", "1"]
    arguments += ["--checkpoint-kimg", CHECKPOINT_KIMG, "--device", "cpu"]
    return [*map(str, arguments)]


def command(run, store: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "fpa", *words(run, store, folder)]


def newest_step(folder: Path) -> int:
    found = sorted((folder / "state").glob("step-*.pt"))
    return int(found[-1].stem.removeprefix("step-")) if found else -1


def wait_for_step(folder: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + HANGING
    while newest_step(folder) < step and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.01)


ARTIFACTS = ("weights.safetensors", "history.csv")


def test_a_training_killed_at_random_moments_ends_with_the_same_bits(tmp_path, long_run, store):
    run = long_run
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    fpa_ok(*words(run, store, undisturbed), cwd=ROOT)
    seed = random.randrange(10**6)
    print(f"random seed {seed}")
    moments = random.Random(seed)
    arguments = command(run, store, disturbed)
    kills = 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        with started(*arguments) as process:
            wait_for_step(disturbed, newest_step(disturbed) + 20, process)
            time.sleep(moments.uniform(0, 0.3))
            process.send_signal(number)
            _, said = process.communicate(timeout=HANGING)
        code = process.returncode
        assert "Traceback" not in said
        if (disturbed / "weights.safetensors").exists():
            break
        kills += 1
        assert code == (-9 if number == signal.SIGKILL else 75)
        assert number == signal.SIGKILL or (
            f"{number.name}: saved step {newest_step(disturbed)} of {LONG}" in said
        )
        assert not any((disturbed / name).exists() for name in ARTIFACTS)
    assert kills >= 2
    for name in ("state/.step-000000001.pt", ".status.json"):
        (disturbed / f"{name}.host.1.part").write_bytes(b"half")
    fpa_ok(*words(run, store, disturbed), cwd=ROOT)
    for name in ARTIFACTS:
        assert file_digest(disturbed / name) == file_digest(undisturbed / name), name
    assert not list(disturbed.rglob("*.part"))


def test_a_terminal_that_is_closed_saves_the_training(tmp_path, long_run, store):
    terminal, its_end = os.openpty()
    log = tmp_path / "log"
    arguments = ["setsid", "--ctty", "--wait", *command(long_run, store, tmp_path / "run")]
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), its_end)
    with started(*arguments, "--log", log, **ends) as process:
        os.close(its_end)
        wait_for_step(tmp_path / "run", 20, process)
        os.close(terminal)
        process.communicate(timeout=HANGING)
    assert process.returncode == 75
    assert f"SIGHUP: saved step {newest_step(tmp_path / 'run')} of {LONG}" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_signal_is_answered_while_modules_load(tmp_path, long_run, store, number):
    with started(*command(long_run, store, tmp_path / "run")) as process:

        def caught() -> int:
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(re.search(r"SigCgt:\s*(\w+)", status).group(1), 16)

        while not caught() & 1 << (number - 1):
            time.sleep(0.001)
        assert not (tmp_path / "run" / "state").exists()
        process.send_signal(number)
        _, said = process.communicate(timeout=HANGING)
    assert process.returncode == 75
    assert f"saved step 0 of {LONG}" in said


CRASHES = """
import os, sys
from fpa.cli import main

rename, left = os.replace, int(sys.argv[1])

def crash_at_the_last(source, target):
    global left
    if os.path.basename(target) in ("weights.safetensors", "history.csv", "train.json"):
        if left == 0:
            os._exit(9)
        left -= 1
    rename(source, target)

os.replace = crash_at_the_last
sys.exit(main(sys.argv[2:]))
"""
"""A training that dies when it has put so many finished files in their places: the three that are kept
below its state, then their names in the run's folder."""


@pytest.mark.parametrize("placed", [0, 2, 3, 5])
def test_a_crash_in_the_middle_of_finishing_loses_nothing(tmp_path, run, store, placed):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    crashed = run_program(sys.executable, "-c", CRASHES, placed, *words(run, store, folder))
    assert crashed.returncode == 9, crashed.stderr
    assert not (folder / "train.json").exists()
    done = fpa_ok(*words(run, store, folder), cwd=ROOT)
    # Once all three are kept, nothing is trained any more; before, the last checkpoint is there.
    assert ("trained already" in done.stderr) == (placed >= 3)
    assert (f"resuming from step {STEPS} of" in done.stderr) == (placed < 3)
    fpa_ok(*words(run, store, whole), cwd=ROOT)
    for name in ARTIFACTS:
        assert file_digest(folder / name) == file_digest(whole / name), name
    assert json.loads((folder / "train.json").read_text())["steps"] == STEPS
    assert not list((folder / "state").glob("step-*.pt"))


class StopAfter:
    """A model's step that asks the process to stop, as a signal would, after `n` calls."""

    def __init__(self, step, n: int) -> None:
        self.step, self.left = step, n

    def __call__(self, real):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGUSR1)
        return self.step(real)


def interrupt(run, store, folder: Path, steps: int) -> Training:
    one = training(run, store)
    one.model.step = StopAfter(one.model.step, steps)
    with pytest.raises(Stopped):
        train(one, folder)
    return one


def test_state_of_another_run_is_refused(tmp_path, tiny, run, store):
    interrupt(run, store, tmp_path, 5)
    tiny["seeds"] = [1]
    tiny["models"]["fpa"]["settings"]["recipe"]["learning_rate"] = 0.5
    shown = "recipe.learning_rate was 0.0002, is now 0.5; seed was 0, is now 1; restore them"
    with pytest.raises(UserError, match=re.escape(shown)):
        train(training(Plan(tiny).runs[0], store), tmp_path)
    assert newest_step(tmp_path) == 5


def test_a_checkpoint_of_another_version_of_the_code_is_refused(tmp_path, run, store):
    interrupt(run, store, tmp_path, 5)
    newest = max((tmp_path / "state").glob("step-*.pt"))
    state = torch.load(newest, weights_only=True)
    del state["model"]["generator"]["program.to_kvb.bias"]
    torch.save(state, newest)
    with pytest.raises(UserError, match="does not fit this version of the code"):
        train(training(run, store), tmp_path)


def test_images_that_changed_under_a_run_are_refused(tmp_path, run, store):
    interrupt(run, store, tmp_path, 5)
    manifest = json.loads((store / "manifest.json").read_text())
    write_json(store / "manifest.json", {**manifest, "images_sha256": "0" * 64})
    with pytest.raises(UserError, match="prepared images changed"):
        train(training(run, store), tmp_path)


def with_nan(one: Training, at: set[int]) -> None:
    """Make the losses of certain calls NaN, and the weights with them."""
    step, calls = one.model.step, {"n": 0}

    def broken(real):
        losses = step(real)
        calls["n"] += 1
        if calls["n"] in at:
            with torch.no_grad():
                next(one.model.generator.parameters()).fill_(math.nan)
            losses["g_loss"] = torch.tensor(math.nan)
        return losses

    one.model.step = broken


def test_a_nan_loss_goes_back_to_the_last_checkpoint_and_on(tmp_path, run, store, caplog):
    one = training(run, store)
    # Noticed at step 10, which goes back to 0, so that the 57th call is step 47.
    with_nan(one, {7, 57})
    with caplog.at_level("WARNING", logger="fpa"):
        train(one, tmp_path)
    assert "NaN at step 50; resuming from the checkpoint of step 40" in caplog.text
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["step"].iloc[-1] == STEPS
    assert history["step"].is_monotonic_increasing
    assert np.isfinite(history["g_loss"].iloc[1:]).all()
    weights = RunFolder(tmp_path).read_weights()
    assert all(v.isfinite().all() for network in weights.values() for v in network.values())
    # Both are counted, though checkpoints lie between them.
    assert json.loads((tmp_path / "train.json").read_text())["nan_reloads"] == 2


def test_a_loss_that_is_nan_again_and_again_ends_the_training(tmp_path, run, store):
    one = training(run, store)
    with_nan(one, set(range(1, 10_000)))
    with pytest.raises(UserError, match=f"NaN {MAX_RELOADS + 1} times.*lower the learning rate"):
        train(one, tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()


def test_quick_scores_and_history_rows_leave_the_training_as_it_was(tmp_path, watched_run, store):

    def watch(generator):
        return {"fid": torch.rand(3).sum().item()}

    train(training(watched_run, store, watch=watch), tmp_path / "watched")
    train(training(watched_run, store, log_every=7), tmp_path / "plain")
    watched, plain = (RunFolder(tmp_path / name).read_weights() for name in ("watched", "plain"))
    best = {name: watched.pop(name) for name in list(watched) if name.startswith("best")}
    assert set(best["best"]) == set(plain["ema"])
    torch.testing.assert_close(watched, plain, atol=0, rtol=0)
    history = pd.read_csv(tmp_path / "watched" / "history.csv")
    assert history.loc[history["fid"].notna(), "step"].tolist() == [0, 5, 10, 15, 20, 25, 30]


def test_the_best_generator_is_kept_through_an_interruption(tmp_path, watched_run, store):
    seen: list[dict] = []

    def watch(generator):
        seen.append({k: v.clone() for k, v in generator.state_dict().items()})
        return {"fid": [9.0, 5, 3, 7, 4, 3, 8][len(seen) - 1]}

    one = training(watched_run, store, watch=watch)
    advance = one.advance

    def stop_after_17():
        advance()
        if one.step == 17:
            os.kill(os.getpid(), signal.SIGTERM)

    one.advance = stop_after_17
    with pytest.raises(Stopped):
        train(one, tmp_path)
    train(training(watched_run, store, watch=watch), tmp_path)
    torch.testing.assert_close(RunFolder(tmp_path).read_weights()["best"], seen[2], atol=0, rtol=0)
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["best"] == {"kimg": 0.08, "fid": 3.0}
    assert summary["stages"] == {"train": STAGES["train"]}


@pytest.mark.parametrize("call", [1, 3, 7])
def test_a_signal_ends_a_quick_score_and_the_next_attempt_makes_it(
    tmp_path, watched_run, store, call
):
    calls = []

    def watch(generator):
        calls.append(None)
        if len(calls) == call and not (tmp_path / "whole").exists():
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("the score went on")
        return {"fid": sum(float(p.sum()) for p in generator.parameters())}

    with pytest.raises(Stopped, match="SIGTERM: saved step"):
        train(training(watched_run, store, watch=watch), tmp_path / "stopped")
    train(training(watched_run, store, watch=watch), tmp_path / "stopped")
    train(training(watched_run, store, watch=watch), tmp_path / "whole")
    for name in ARTIFACTS:
        assert file_digest(tmp_path / "stopped" / name) == file_digest(tmp_path / "whole" / name)


def test_training_by_hand_without_a_base_run_says_what_is_missing(tmp_path, tiny, store):
    run = Plan(tiny).runs[1]
    write_json(tmp_path / "run.json", run.as_json())
    done = fpa("train", tmp_path / "run.json", "--store", store, cwd=tmp_path)
    assert done.returncode == 1
    assert "fpa_unet starts from a finished run; name its folder by --base" in done.stderr
    assert "Traceback" not in done.stderr


def assert_ends_undisturbed(run, store, folder, tmp_path) -> None:
    """Go on in `folder`: what comes out equals a training that nothing happened to."""
    train(training(run, store), folder)
    train(training(run, store), tmp_path / "whole")
    for name in ARTIFACTS:
        assert file_digest(folder / name) == file_digest(tmp_path / "whole" / name), name
    assert not list(folder.rglob("*.part"))


def test_a_disk_that_fills_up_in_a_checkpoint_loses_only_that_checkpoint(tmp_path, run, store):
    folder = tmp_path / "run"
    interrupt(run, store, folder, 30)
    sizes = {path.name: path.stat().st_size for path in (folder / "state").glob("step-*.pt")}
    assert len(sizes) == 2
    # Room for half a checkpoint: the kernel lets a part of it be written, then refuses.
    limit = max(sizes.values()) // 2
    done = run_program(
        *command(run, store, folder),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "free some space or choose another folder" in done.stderr
    assert "Traceback" not in done.stderr
    left = {path.name: path.stat().st_size for path in (folder / "state").glob("step-*")}
    assert left == sizes
    assert_ends_undisturbed(run, store, folder, tmp_path)


def test_a_flipped_bit_in_the_newest_checkpoint_is_noticed(tmp_path, run, store, caplog):
    folder = tmp_path / "run"
    interrupt(run, store, folder, 50)
    newest = max((folder / "state").glob("step-*.pt"))
    content = bytearray(newest.read_bytes())
    # In the largest tensor: the file has padding too, where a flipped bit does not matter.
    with zipfile.ZipFile(newest) as archive:
        tensor = archive.read(max(archive.infolist(), key=lambda info: info.file_size))
    content[content.index(tensor) + len(tensor) // 2] ^= 0x40
    newest.write_bytes(content)
    with caplog.at_level("WARNING", logger="fpa"):
        assert_ends_undisturbed(run, store, folder, tmp_path)
    assert f"{newest} cannot be read" in caplog.text
    assert "is damaged); trying the one before" in caplog.text


def test_of_two_processes_the_second_is_refused_and_a_dead_one_holds_nothing(tmp_path, run, store):
    folder = tmp_path / "run"
    arguments = [*command(run, store, folder), "--log-every", "10"]
    with started(*arguments) as first:
        wait_for_step(folder, 20, first)
        # Stopped, so that it cannot end before the second has started; it holds the lock all the same.
        first.send_signal(signal.SIGSTOP)
        held = newest_step(folder)
        second = run_program(*arguments)
        assert second.returncode == 1
        assert "another process is training in" in second.stderr
        assert "Traceback" not in second.stderr
        assert newest_step(folder) == held
    assert not (folder / "weights.safetensors").exists()
    assert_ends_undisturbed(run, store, folder, tmp_path)


@pytest.mark.parametrize("jump", [-(10**8), 10**8])
def test_a_clock_that_jumps_changes_nothing(tmp_path, run, store, monkeypatch, jump):
    folder = tmp_path / "run"
    interrupt(run, store, folder, 50)
    # The newest checkpoint is the one of most steps, whatever the files' times say.
    for age, path in enumerate(sorted((folder / "state").glob("step-*.pt"))):
        os.utime(path, (10**9 - age * 10**7,) * 2)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    resumed = training(run, store)
    resumed.model.step = counted = Counted(resumed.model.step)
    train(resumed, folder)
    assert counted.calls == run.steps - 50
    assert_ends_undisturbed(run, store, folder, tmp_path)


class Counted:
    """A function that counts its calls."""

    def __init__(self, function) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)
