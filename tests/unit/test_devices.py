"""Processes spread over a machine's GPUs, of which there is none here, and the memory that they keep."""

import subprocess
import sys
import tempfile

import pytest
import torch
from conftest import ROOT, run

from fpa.core.errors import UserError
from fpa.runs import devices
from fpa.runs.processes import StopSignal, launch

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
