"""Processes spread over a machine's GPUs. There is none here: only the choice is tested."""

import subprocess
import sys

import pytest
from conftest import ROOT

from fpa.training import gpus

HOLD = """
import sys
from pathlib import Path
from fpa.training import gpus
print(gpus.take(sys.argv[2:], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process(tmp_path):
    """`process(*names)` -> a process that has taken a GPU, and the GPU's place."""
    started = []

    def start(*names: str) -> tuple[subprocess.Popen, int]:
        command = [sys.executable, "-c", HOLD, str(tmp_path), *names]
        one = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(one)
        return one, int(one.stdout.readline())

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


def test_a_gpu_is_the_same_under_another_place(process):
    assert process("4", "7")[1] == 0
    assert process("7", "4")[1] == 0
    assert process("4", "7", "5")[1] == 2


def test_names_are_what_the_user_made_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert gpus.visible(2) == ["4", "7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus.visible(2) == ["0", "1"]
