"""What `fpa status` says of runs in every state."""

import base64
import io
import json
import os
import re
import socket
import sys
import time

import made_up
import numpy as np
import pytest
from conftest import fpa, fpa_ok
from PIL import Image

from fpa.core import artifacts
from fpa.reporting import status as showing
from fpa.reporting.results import last_lines
from fpa.reporting.status import duration, newest_snapshot, run_states, to_page, to_text
from fpa.runs.folder import RunFolder, Status

NOW = time.time()
DEAD = 2**22 + 1
"""No process: higher than any kernel's largest number."""


def status(**changed) -> Status:
    """A training in the middle, in this process."""
    about = {
        "state": "training",
        "step": 1_200,
        "steps": 4_000,
        "kimg": 38.4,
        "images_per_second": 812.3,
        "seconds_left": 4_800,
        "losses": {"step": 1_200, "kimg": 38.4, "g_loss": 0.5, "d_loss": None},
        "score": {"step": 1_000, "kimg": 32, "fid": 31.25, "precision": 0.5, "recall": 0.25},
        "best": {"kimg": 16, "fid": 30.0},
        "started": NOW - 100,
        "updated": NOW,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    return Status(**{**about, **changed})


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch):
    monkeypatch.setattr("fpa.reporting.status.time.time", lambda: NOW)


@pytest.fixture
def planned(tmp_path):
    """An experiment of six runs of which nothing is there yet; its description and its folder."""
    config = made_up.experiment(models=("fpa", "dcgan"), seeds=(0, 1, 2))
    about, _, results = made_up.fill(tmp_path, config)
    for path in [*results.rglob("*")]:
        if path.is_file() and path.name != artifacts.EXPERIMENT:
            path.unlink()
    return about, results


def put(planned, number: int, found: Status | str, log: str = "") -> None:
    """The status file and log of a run."""
    about, results = planned
    run = about.runs[number]
    text = found if isinstance(found, str) else found.model_dump_json()
    (results / run.folder / artifacts.STATUS).write_text(text)
    if log:
        name = run.folder.rpartition("/")[2]
        path = results / artifacts.train_log(run.dataset, run.model, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(log)


def finish(planned, number: int) -> None:
    about, results = planned
    summary = {"digest": "", "steps": 4_000, "kimg": 128.0, "best": {"kimg": 96.0, "fid": 12.5}}
    path = results / about.runs[number].folder / artifacts.SUMMARY
    path.write_text(json.dumps(summary))


LOG = "2026-11-24 10:00:00 going on\n2026-11-24 10:00:01 error: the disk is full; free some\n"


def test_every_state_is_told_apart(planned):
    put(planned, 0, status())
    put(planned, 1, status(pid=DEAD), log="step 1\n\x1b[2Jstep 2\n")
    put(planned, 2, status(state="stopped", reason="SIGTERM: saved step 1200 of 4000"))
    put(planned, 3, status(state="failed", reason="the disk is full"), LOG)
    put(planned, 4, status(host="elsewhere", updated=NOW - 2_000, slurm_job="4711"))
    finish(planned, 5)
    put(planned, 5, status(state="finished", step=4_000))
    found = run_states(*planned)
    states = "training lost stopped failed silent trained".split()
    assert [run.state for run in found] == states
    assert found[1].reason == f"its process {DEAD} is gone, without a word"
    # What would move the cursor is shown, not done.
    assert found[1].log_lines == ("step 1", "\\x1b[2Jstep 2")
    assert found[3].log_lines == tuple(LOG.splitlines())
    assert found[4].reason == "no sign of it for 33 min"
    assert (found[5].step, found[5].best["fid"], found[5].seconds_left) == (4_000, 12.5, None)
    assert [run.images_per_second for run in found[:5]] == [812.3, None, None, None, None]


def test_a_run_without_a_status_is_waiting_or_as_its_files_say(planned):
    about, results = planned
    assert {run.state for run in run_states(about, results)} == {"waiting"}
    state = results / about.runs[0].folder / artifacts.STATE
    state.mkdir()
    (state / "step-000000040.pt").write_bytes(b"")
    put(planned, 1, "{", LOG)  # refused before its first step
    finish(planned, 2)  # by a version without status files
    put(planned, 3, '{"state": "training", "step": "many"}')
    found = run_states(about, results)
    assert [run.state for run in found[:4]] == ["stopped", "failed", "trained", "waiting"]
    assert found[0].reason == "saved at step 40"
    assert found[1].reason == "the disk is full; free some"
    assert found[2].steps == 4_000


def test_an_attempt_that_runs_counts_more_than_an_older_errors_line(planned):
    put(planned, 0, status(), LOG)
    put(planned, 1, status(pid=DEAD), LOG)
    found = run_states(*planned)
    assert [run.state for run in found[:2]] == ["training", "failed"]
    assert found[0].log_lines == ()


def test_a_training_on_another_machine_is_believed_for_a_while(planned):
    put(planned, 0, status(host="elsewhere", pid=DEAD, updated=NOW - 60))
    assert run_states(*planned)[0].state == "training"


def test_the_text_has_every_number_and_keeps_to_the_width(planned):
    put(planned, 0, status(slurm_job="4711"))
    put(planned, 3, status(state="failed", reason="the disk is full"), LOG)
    states = run_states(*planned)
    lines = to_text("made-up", states, 200).splitlines()
    assert lines[0] == "made-up: 1 training, 4 waiting, 1 failed"
    host = socket.gethostname()
    for text in ("training", "step 1,200 of 4,000 (30%)", "812 images/s", "80 min left"):
        assert text in lines[2]
    assert f"Slurm job 4711 on {host}" in lines[2]
    assert lines[3].strip() == "g_loss 0.5, d_loss NaN (step 1,200)"
    assert lines[4].strip() == (
        "quick score at 32 kimg: Fréchet distance 31.2, precision 0.5, recall 0.25; "
        "best Fréchet distance 30 at 16 kimg"
    )
    assert "    | 2026-11-24 10:00:01 error: the disk is full; free some" in lines
    narrow = to_text("made-up", states, 40).splitlines()
    assert max(map(len, narrow)) == 40
    assert any(line.endswith("…") for line in narrow)


def test_durations_are_said_as_people_do():
    short = [duration(seconds) for seconds in (0.4, 99, 100, 5_940)]
    long = [duration(seconds) for seconds in (6_000, 172_799, 180_000)]
    assert short == ["0 s", "99 s", "2 min", "99 min"]
    assert long == ["1 h 40 min", "48 h 00 min", "2 d 2 h"]


def test_of_a_long_log_only_the_end_is_read(tmp_path):
    path = tmp_path / "long.log"
    path.write_bytes(b"".join(b"line %d\r\n" % i for i in range(100_000)) + b"\xff\n\n")
    assert last_lines(path, 3) == ("line 99998", "line 99999", "\ufffd")
    assert last_lines(tmp_path / "missing.log", 3) == ()


def test_json_has_all_runs_and_no_nan(planned):
    put(planned, 0, status(slurm_job="4711"))
    done = fpa_ok("status", planned[1], "--json", cwd=planned[1])
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert found["experiment"] == "made-up"
    assert len(found["runs"]) == 6
    first = found["runs"][0]
    assert (first["state"], first["slurm_job"], first["losses"]["d_loss"]) == (
        "training",
        "4711",
        None,
    )


@pytest.fixture
def naps(monkeypatch, planned):
    """Between two looks no time passes, but a run is finished; how long each would have been."""
    found: list[float] = []

    def sleep(seconds: float) -> None:
        found.append(seconds)
        finish(planned, len(found) - 1)

    monkeypatch.setattr(showing.time, "sleep", sleep)
    return found


def test_following_ends_when_all_runs_are_trained(planned, naps):
    done = fpa_ok("status", planned[1], "--json", "--follow", "--every", 2, cwd=planned[1])
    assert naps == 6 * [2]
    looks = [json.loads(line)["runs"] for line in done.stdout.splitlines()]
    assert [sum(r["state"] == "trained" for r in runs) for runs in looks] == [*range(7)]


def test_following_is_ended_by_ctrl_c(planned, monkeypatch):
    def sleep(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(showing.time, "sleep", sleep)
    done = fpa("status", planned[1], "--follow", cwd=planned[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"\d\d:\d\d:\d\d made-up: 6 waiting\n", done.stdout)


def test_a_terminal_is_cleared_before_each_look(planned, naps, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    showing.show(planned[1], every=1)
    assert capsys.readouterr().out.count(showing.CLEAR) == 7


def test_the_page_reloads_itself_while_it_is_followed(planned, naps, tmp_path):
    out = tmp_path / "status.html"
    put(planned, 0, status(reason=""))
    seen = []
    original = showing.write_text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "write_text", lambda p, t: (seen.append(t), original(p, t)))
        done = fpa("status", planned[1], "--html", out, "--follow", cwd=planned[1])
    assert done.returncode == 0, done.stderr
    assert len(seen) == 7
    assert all('<meta http-equiv="refresh" content="5">' in text for text in seen[:-1])
    # Nothing will change any more.
    assert "refresh" not in seen[-1]
    assert out.read_text() == seen[-1]


def test_the_page_shows_the_newest_snapshot_and_a_broken_one_breaks_nothing(planned):
    about, results = planned
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 1, 4, 4), dtype=np.uint8)
    path = results / about.runs[0].folder / artifacts.SNAPSHOTS
    np.savez(path, images=images, kimg=np.array([0, 16.0]), step=[0, 1], fid=[9, 8])
    (results / about.runs[1].folder / artifacts.SNAPSHOTS).write_bytes(b"PK\x03\x04")
    text = to_page("made-up", run_states(about, results), results)
    assert text.count("<img") == 1
    assert "at 16 kimg" in text
    shown = newest_snapshot(path)
    content = base64.b64decode(shown["source"].partition(",")[2])
    with Image.open(io.BytesIO(content)) as picture:
        assert np.array_equal(np.asarray(picture)[5:9, :4], images[1, 4, 0])
    # A newer file is read anew.
    np.savez(path, images=images[:1], kimg=np.array([3.0]), step=[0], fid=[9])
    os.utime(path, ns=(1, 1))
    assert newest_snapshot(path)["kimg"] == "3"


def test_the_page_runs_nothing_that_a_log_says(planned):
    put(planned, 0, status(state="failed", reason="<b>&"), "<script>alert(1)</script>\n")
    text = to_page("made-up", run_states(*planned), planned[1])
    assert "<script" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "default-src 'none'" in text


def test_what_is_no_status_is_none(tmp_path):
    path, folder = tmp_path / "status.json", RunFolder(tmp_path)
    assert folder.read_status() is None
    for text in ("", "[]", "{}", '{"state": "dancing"}', "\x00"):
        path.write_text(text)
        assert folder.read_status() is None
