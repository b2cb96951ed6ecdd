"""Several processes with a share of each batch compute what one does with all of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import HANGING, ROOT, environment, fpa_ok, fpa_process, run, started
from distributed_worker import RECIPES

from fpa.core.errors import UserError
from fpa.core.files import read_json, write_json
from fpa.experiment.plan import Plan
from fpa.models.loading import check_processes
from fpa.runs.folder import RunFolder
from fpa.runs.processes import StopSignal, launch
from fpa.workflow.checks import check_before_start

STEPS = 8
WORKER = Path(__file__).parent / "distributed_worker.py"
CHANGING = "stylegan2_ada"
"""The recipe whose number of processes changes on the way."""


def leaves(tree: object, path: str = ""):
    """(path, tensor or number) for everything in nested containers."""
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, part in items:
            yield from leaves(part, f"{path}/{key}")
    elif tree is not None:
        yield path, tree


def run_worker(processes: int, trainings: list[tuple]) -> None:
    """Train in so many processes; each training: recipe, first and last step, state, output."""
    words = json.dumps(trainings, default=str)
    assert launch([sys.executable, str(WORKER), words], processes, StopSignal()) == 0


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """`ended(name, rank)` -> what a process ended with, of these names:

    1-fpa and 2-fpa: in one and in two processes, as for every recipe; 1-2 and 2-1: begun in so many
    processes, ended in so many.
    """
    folder = tmp_path_factory.mktemp("distributed")

    def state(name: str, rank: int = 0) -> Path:
        return folder / f"{name}.rank{rank}.pt"

    def whole(processes: int) -> list[tuple]:
        return [(r, 0, STEPS, None, folder / f"{processes}-{r}") for r in RECIPES]

    def begun(processes: int) -> tuple:
        return (CHANGING, 0, 5, None, folder / f"begun-{processes}")

    def gone_on(before: int, after: int) -> tuple:
        return (CHANGING, 5, STEPS, state(f"begun-{before}"), folder / f"{before}-{after}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
        run_worker(1, [*whole(1), begun(1)])
        run_worker(2, [*whole(2), begun(2), gone_on(1, 2)])
        run_worker(1, [gone_on(2, 1)])
    return lambda name, rank=0: torch.load(state(name, rank), weights_only=True)


def assert_same(one: dict, first: dict) -> None:
    """The same state, floating point numbers to 1e-6 of their tensor's largest."""
    moved = 0
    for (path, expected), (_, found) in zip(leaves(one), leaves(first), strict=True):
        expected, found = torch.as_tensor(expected), torch.as_tensor(found)
        assert found.dtype == expected.dtype
        if found.is_floating_point():
            scale = expected.abs().max().clamp_min(1e-4)
            assert (found - expected).abs().max() <= 1e-6 * scale, path
            moved += 1
        else:
            assert torch.equal(found, expected), path
    assert moved > 20


@pytest.mark.parametrize("name", list(RECIPES))
def test_two_processes_end_with_the_weights_of_one(name, ended):
    first, second = ended(f"2-{name}", 0), ended(f"2-{name}", 1)
    torch.testing.assert_close(second, first, atol=0, rtol=0)
    assert_same(ended(f"1-{name}"), first)


@pytest.mark.parametrize("way", ["2-1", "1-2"])
def test_a_state_goes_on_in_another_number_of_processes(way, ended):
    assert_same(ended(f"1-{CHANGING}"), ended(way))


@pytest.fixture
def trained_by(tiny, digits):
    """`trained_by(folder, words)` -> the words after `fpa` that train a small painter there."""
    del tiny["models"]["fpa_unet"]  # would start from the best checkpoint
    tiny["training"] |= {"kimg": 0.48, "watch_kimg": 0}
    tiny["evaluation"]["checkpoint"] = "last"
    # So slow that differences of rounding stay small.
    settings = tiny["models"]["fpa"]["settings"]
    settings["recipe"] = {**settings["recipe"], "learning_rate": 1e-5}
    (run,) = [run for run in Plan(tiny).runs if run.model.name == "fpa"]

    def command(folder: Path, *words: str) -> list[str]:
        write_json(folder / "run.json", run.as_json())
        path = str(folder / "run.json")
        options = ["--store", str(digits), "--device", "cpu", "--threads", "1", "--log-every", "10"]
        options += ["--checkpoint-kimg", "0.08"]
        return ["train", path, *options, *words]

    return command


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(words: list[str], *launcher: str):
    return started(sys.executable, *launcher, "-m", "fpa", *words)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    _, said = process.communicate(timeout=HANGING)
    return process.returncode, said


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state").glob("step-*.pt"))


def wait_for_checkpoint(folder: Path, process: subprocess.Popen) -> None:
    while len(checkpoints(folder)) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_training_changes_the_number_of_its_processes_on_the_way(tmp_path, trained_by):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    fpa_ok(*trained_by(alone), cwd=ROOT)
    with start(trained_by(shared, "--gpus", "2")) as process:
        wait_for_checkpoint(shared, process)
        workers = children(process.pid)
        assert len(workers) == 2
        process.send_signal(signal.SIGTERM)
        code, said = finish(process)
    assert code == 75
    assert said.count("SIGTERM: saved step") == 1
    assert "Traceback" not in said
    assert not any(map(running, workers))
    done = fpa_ok(*trained_by(shared, "--gpus", "1"), cwd=ROOT)
    assert "resuming from step" in done.stderr
    for name in ("history.csv", "train.json", "weights.safetensors"):
        assert (shared / name).exists()
    one, two = (pd.read_csv(folder / "history.csv") for folder in (alone, shared))
    assert list(one["step"]) == list(two["step"]) == [0, 10, 20, 30, 40, 50, 60]
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-5)
    for name, network in RunFolder(alone).read_weights().items():
        for key, value in RunFolder(shared).read_weights()[name].items():
            # Where a gradient is hardly more than rounding, Adam's step of 1e-5 may go either way;
            # 60 steps move a weight by 6e-4. Adam's moments differ as the gradients do.
            moments = name.endswith("optimizer")
            allowed = 5e-3 * float(network[key].abs().max()) if moments else 2e-5
            torch.testing.assert_close(value, network[key], rtol=0, atol=allowed)
            if not moments:
                assert float((value - network[key]).abs().mean()) < 3e-6
    assert read_json(alone / "train.json")["digest"] == read_json(shared / "train.json")["digest"]


def test_processes_die_together_and_others_go_on_from_what_was_saved(tmp_path, trained_by):
    folder = tmp_path / "run"
    for victim in ("second worker", "parent"):
        before = checkpoints(folder)
        with start(trained_by(folder, "--gpus", "2")) as process:
            while not (set(checkpoints(folder)) - set(before) and len(checkpoints(folder)) == 2):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.01)
            workers = children(process.pid)
            os.kill(process.pid if victim == "parent" else workers[1], signal.SIGKILL)
            code, said = finish(process)
            assert code != 0
            assert ("resuming from step" in said) == (victim == "parent")
            deadline = time.monotonic() + HANGING
            while any(map(running, workers)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert not (folder / "weights.safetensors").exists()
    # What launched the others makes no difference.
    with start(trained_by(folder), *TORCHRUN) as process:
        code, said = finish(process)
    assert code == 0, said
    assert "resuming from step" in said
    assert (folder / "weights.safetensors").exists()


ABORTS_AT_ITS_END = """
import ctypes, sys
from fpa.cli import main
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
sys.exit(main(["plan", "nowhere.yaml"]))
"""


@pytest.mark.parametrize(("processes", "code"), [("2", 1), ("1", -signal.SIGABRT)])
def test_a_worker_ends_with_its_own_code_whatever_libraries_do_at_the_end(processes, code):
    environ = {**environment(), "WORLD_SIZE": processes}
    done = run(sys.executable, "-c", ABORTS_AT_ITS_END, env=environ)
    assert done.returncode == code
    assert "nowhere.yaml" in done.stderr


def test_a_mistake_is_one_line_from_one_process(tmp_path, trained_by):
    command = trained_by(tmp_path / "run", "--gpus", "3")
    done = fpa_process(*command, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.count("cannot be shared evenly by 3 GPUs") == 1
    assert "Traceback" not in done.stderr


class Alone:
    """Not made for several processes."""

    step = to = state_dict = load_state_dict = None


def test_models_and_batches_that_cannot_be_shared_are_refused_before_anything_runs(tiny):
    tiny["runtime"]["gpus"] = 3
    with pytest.raises(UserError, match="a batch of 8 cannot be shared evenly by 3 GPUs"):
        check_before_start(Plan(tiny))
    tiny["runtime"]["gpus"] = 2
    check_before_start(Plan(tiny))
    with pytest.raises(UserError, match="does not train on 2 GPUs: it has no data_parallel"):
        check_processes("test_distributed:Alone", 8, 2)
