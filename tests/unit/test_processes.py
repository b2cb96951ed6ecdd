"""How a training answers signals, and when it has Slurm queue its job again.

That Slurm does so is in test_slurm.py.
"""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT

from fpa.core.errors import Stopped
from fpa.runs import processes
from fpa.runs.processes import StopSignal


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
