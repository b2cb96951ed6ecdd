"""How a training answers signals and has Slurm queue its job again (that Slurm does so is in test_slurm.py); processes
spread over a machine's GPUs, of which there is none here, and the memory that they keep."""

import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, run

from fpa.core.errors import Stopped, UserError
from fpa.runs import devices, processes
from fpa.runs.processes import StopSignal, launch


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """`asked(job, signal, code)` -> what scontrol was asked for by a training that a signal stopped."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(processes.signal, "signal", lambda *_: None)

    def run(job: str | None, signal: str, code: int = 0) -> str:
        scontrol, told = tmp_path / "scontrol", tmp_path / "told"
        scontrol.write_text(f"#!/bin/sh\necho $* > {told}\necho not allowed >&2\nexit {code}\n")
        scontrol.chmod(0o755)
        told.write_text("")
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)
        if job:
            monkeypatch.setenv("SLURM_JOB_ID", job)
        stop = StopSignal()
        stop.received = signal
        with pytest.raises(Stopped), processes.requeue_at_time_limit(stop):
            raise Stopped(f"{signal}: saved step 3")
        return told.read_text().strip()

    return run


def test_the_warning_of_a_time_limit_has_the_job_queued_again(asked, monkeypatch):
    slept = []
    monkeypatch.setattr(processes, "time", SimpleNamespace(sleep=slept.append))
    assert asked("12", "SIGUSR1") == "requeue 12"
    # Slurm ends the process meanwhile.
    assert slept == [processes.PATIENCE]


def test_a_job_that_is_cancelled_or_no_slurm_job_is_not_queued_again(asked):
    assert asked("12", "SIGTERM") == ""
    assert asked("12", "SIGINT") == ""
    assert asked(None, "SIGUSR1") == ""


def test_where_a_job_cannot_be_queued_again_it_says_so_and_ends(asked, caplog):
    with caplog.at_level("WARNING", "fpa"):
        asked("12", "SIGUSR1", code=1)
    assert "Slurm does not queue job 12 again: not allowed" in caplog.text


def test_a_training_that_ends_well_asks_for_nothing(asked):
    with processes.requeue_at_time_limit(StopSignal()):
        pass


SIGNALLED = """
import os, signal
from fpa.runs.processes import StopSignal
with StopSignal() as stop:
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
        os.kill(os.getpid(), number)
    print(stop.received, flush=True)
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_scheduler_may_repeat_itself_and_ctrl_c_ends_at_once():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["SIGUSR1", "interrupted"]
    # Behind the block, everything is as it was.
    assert done.returncode == -15


UNDER_NOHUP = """
import os, signal
from fpa.runs.processes import StopSignal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with StopSignal() as stop:
    os.kill(os.getpid(), signal.SIGHUP)
    print(stop.received)
os.environ["WORLD_SIZE"] = "2"
with StopSignal() as stop:
    os.kill(os.getpid(), signal.SIGHUP)
    print(stop.received)
"""


def test_nohup_keeps_a_closed_terminal_from_a_training_but_not_what_launch_hands_on():
    done = subprocess.run(
        [sys.executable, "-c", UNDER_NOHUP], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split() == ["None", "SIGHUP"], done.stderr


HOLD = """
import sys
from pathlib import Path
from fpa.runs import devices
print(*devices.take_gpus(sys.argv[3:], int(sys.argv[2]), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process(tmp_path):
    """`process(*names)` -> a process that has taken a GPU, and its place; of `count`, their places."""
    started = []

    def start(*names: str, count: int = 1) -> tuple:
        command = [sys.executable, "-c", HOLD, str(tmp_path), str(count), *names]
        one = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(one)
        places = tuple(map(int, one.stdout.readline().split()))
        return one, places if count > 1 else places[0]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def test_processes_spread_evenly_and_a_dead_one_makes_room(process):
    names = ("0", "1", "2")
    running = [process(*names) for _ in range(5)]
    assert [place for _, place in running] == [0, 1, 2, 0, 1]
    running[1][0].kill()
    running[1][0].wait()
    assert process(*names)[1] == 1
    assert process(*names)[1] == 2


def test_trainings_on_several_gpus_share_none_and_single_ones_keep_off(process):
    names = ("0", "1", "2", "3")
    first, one = process(*names, count=2)
    assert one == (0, 1)
    assert process(*names)[1] == 2
    # What is left is one free GPU, and one of those that are taken once.
    assert process(*names, count=2)[1] == (3, 0)
    first.kill()
    first.wait()
    assert process(*names)[1] == 1


@pytest.fixture
def four(monkeypatch, tmp_path):
    """As if torch counted four GPUs here, and a temporary folder that others do not use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_two_trainings_on_two_gpus_each_use_all_four(four, tmp_path):
    script = (
        "import os; e = os.environ; print(e['LOCAL_RANK'], e['CUDA_VISIBLE_DEVICES'],"
        " file=open(f'{e[\"SEEN\"]}-{e[\"RANK\"]}', 'w'))"
    )
    seen = []
    for training in ("one", "two"):
        # Both are here in this process, which holds what it has taken.
        environment = {**devices.assign_gpus("auto", 2), "SEEN": str(tmp_path / training)}
        assert launch([sys.executable, "-c", script], 2, StopSignal(), environment) == 0
        for rank in ("0", "1"):
            place, visible = (tmp_path / f"{training}-{rank}").read_text().split()
            assert place == rank
            seen.append(visible.split(",")[int(place)])
    assert sorted(seen) == ["0", "1", "2", "3"]
    # A job on one GPU sees that each is taken once; another one takes the next.
    assert devices.choose("auto") == torch.device("cuda", 0)
    assert devices.choose("auto") == torch.device("cuda", 1)


def test_a_process_of_a_training_works_on_the_gpu_that_it_was_given(four, monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert devices.choose("auto") == torch.device("cuda", 1)
    # Torchrun's processes note it for others here, ours were given it by one that did.
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert devices.choose("auto") == torch.device("cuda", 1)
    assert devices.take_gpus(["0", "1"], 1) == [0]


def test_a_training_takes_no_more_gpus_than_there_are(four):
    with pytest.raises(UserError, match="5 GPUs are asked for, 4 found; set runtime"):
        devices.assign_gpus("cuda", 5)
    assert devices.assign_gpus("cpu", 5) == {}


def test_a_gpu_is_the_same_under_another_place(process):
    assert process("4", "7")[1] == 0
    assert process("7", "4")[1] == 0
    assert process("4", "7", "5")[1] == 2


def test_names_are_what_the_user_made_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert devices.visible_gpus(2) == ["4", "7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices.visible_gpus(2) == ["0", "1"]


FAULTS = """
import ctypes, resource, sys
from fpa.runs.devices import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("no mallopt")
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
SIZE = 64 << 20


def use():
    block = libc.malloc(SIZE)
    ctypes.memset(block, 1, SIZE)
    libc.free(block)


use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that five blocks of 64 MiB, one after another, have to map anew."""
    done = run(sys.executable, "-c", FAULTS, how)
    if "no mallopt" in done.stderr:
        pytest.skip("the C library has no mallopt")
    return int(done.stdout)


def test_a_freed_block_is_used_again_without_new_pages():
    assert faults("keep") < 100
    assert faults("plain") > 5000  # else there is nothing to keep
