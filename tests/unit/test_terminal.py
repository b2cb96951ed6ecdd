"""What `snakemake --logger fpa` shows of a workflow."""

import logging
import time
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from fpa.core import artifacts
from fpa.core.files import write_json
from fpa.workflow import terminal

FOLDER = "results/runs/digits/fpa/seed0-0123456789"
WILDCARDS = {"model": "fpa", "dataset": "digits", "run": "seed0-0123456789"}


def handler(monkeypatch, **settings):
    # Read by every job, so it must not outlive the test.
    monkeypatch.setenv("FPA_PROGRESS", "lines")
    quiet = {"verbose": False, "dryrun": False, **settings}
    return terminal.LogHandler(SimpleNamespace(**quiet), None)


def emit(to, event, message="", level=logging.INFO, **found):
    record = logging.makeLogRecord({"event": event, "msg": message, "levelno": level, **found})
    to.emit(record)


def start(to, number, rule, wildcards=WILDCARDS):
    output = [f"{FOLDER}/{artifacts.WEIGHTS}"]
    job = {"jobid": number, "rule_name": rule, "wildcards": wildcards, "output": output}
    emit(to, LogEvent.JOB_INFO, **job)


def test_a_workflow_from_its_first_to_its_last_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(terminal, "FIRST_SECONDS", 0)
    shown = handler(monkeypatch)
    assert shown.writes_to_stream
    emit(shown, LogEvent.RUN_INFO, stats={"train": 2, "score": 1, "total": 3})
    start(shown, 1, "train")
    now = time.time()
    status = {"state": "training", "steps": 100, "kimg": 1, "started": now, "updated": now}
    path = tmp_path / FOLDER / artifacts.STATUS
    for step, left in ((1, 9_000), (25, 600)):
        told = {"step": step, "seconds_left": left, "host": "here", "pid": 1}
        write_json(path, {**status, **told})
        with shown.guard:
            shown.wait = 0
            shown._show_progress()
    said = capsys.readouterr().err
    assert "0 of 3 steps, time left not known yet: train fpa on digits, seed 0 1%" in said
    # The one that waits takes as long as the one that runs, and two run beside each other at most.
    assert "2 trainings and 1 other steps" in said
    assert "0 of 3 steps, about 20 min left: train fpa on digits, seed 0 25%" in said
    for number, rule in ((1, "train"), (2, "train"), (3, "score")):
        if number > 1:
            start(shown, number, rule)
        emit(shown, LogEvent.JOB_FINISHED, job_id=number)
    shown.close()
    shown.close()
    said = capsys.readouterr().err.splitlines()
    assert ["trained fpa on digits, seed 0" in line for line in said] == [True, True, False]
    assert "all 3 steps done" in said[-1]


def test_what_failed_and_what_snakemake_warns_of(monkeypatch, capsys):
    shown = handler(monkeypatch)
    emit(shown, LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    start(shown, 1, "train")
    emit(shown, LogEvent.JOB_ERROR, jobid=1, rule_name="train", log=["a.log"], level=logging.ERROR)
    emit(shown, None, "the disk is slow", level=logging.WARNING)
    emit(shown, LogEvent.SHELLCMD, "python -m fpa train")
    shown.close()
    said = capsys.readouterr().err
    assert "failed: train fpa on digits, seed 0; see a.log" in said
    assert "the disk is slow" in said
    assert "python -m fpa" not in said
    assert "done" not in said


@pytest.mark.parametrize("setting", ["verbose", "dryrun"])
def test_everything_is_left_to_snakemake_where_it_is_asked_for(setting, monkeypatch, capsys):
    shown = handler(monkeypatch, **{setting: True})
    assert not shown.writes_to_stream
    emit(shown, LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    assert not capsys.readouterr().err


def test_snakemake_finds_it():
    assert LoggerPluginRegistry().is_installed("fpa")
