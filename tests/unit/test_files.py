"""Files appear whole or not at all, whatever goes wrong; several processes, machines and users in one folder wait, and the
dead block nobody."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import sys
import tarfile
import threading
import time
from pathlib import Path

import made_up
import numpy as np
import pytest
import yaml
from conftest import HANGING, environment, images_dataset, png, run, started

from fpa.core import files
from fpa.core.errors import UserError
from fpa.core.files import Holder, atomic_path, locked, write_json
from fpa.data.prepare import prepare
from fpa.data.source_validation import check_source
from fpa.data.sources import store_name
from fpa.data.store import open_store
from fpa.experiment.plan import Plan


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "kept.txt"
    files.write_text(path, "old")

    def half_a_write():
        with files.atomic_open(path) as file:
            file.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_a_write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*x\.json: No space left on device; free"):
        files.write_json(tmp_path / "x.json", {})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path / "file" / "x.txt", "")


ALL_VERBS = """
import json, sys
from fpa.cli import main
for words in json.loads(sys.argv[1]):
    assert main(words) == 0, words
"""


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/猫.png").write_bytes(png(np.zeros((16, 16, 3), np.uint8)))
    with tarfile.open(tmp_path / "mine.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tmp_path / "mine", "mine")
    config = made_up.experiment(models=("fpa", "fpa_12"))
    config["models"]["fpa"]["label"] = "画家 ± é"
    config["evaluation"] |= {"groups": 4, "metrics": ["fid"]}
    _, _, results = made_up.fill(tmp_path, config)
    config["results"] = str(results)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8")
    scores = [str(path) for path in results.rglob("score-*.json")]
    sources = "mine", "mine.tar"
    words = [[*images_dataset(tmp_path / name).as_words(), "--no-config"] for name in sources]
    calls = [
        ["plan", "config.yaml", "--write"],
        *(["prepare", *words[i], "--out", f"store-{i}"] for i in range(2)),
        ["inspect", "store-0"],
        ["table", "fid", *scores, "--results", str(results), "--out", "fid.csv"],
        ["figure", str(results), "scores"],
        ["report", str(results), "--as-is"],
        ["status", str(results)],
    ]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = [sys.executable, "-c", ALL_VERBS, json.dumps(calls)]
    done = run(*told, cwd=tmp_path, env={**environment(), **ascii_only}, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "猫.png" in done.stdout
    for i in range(2):
        manifest = json.loads((tmp_path / f"store-{i}/manifest.json").read_text("utf-8"))
        assert manifest["names"] == ["猫.png"]
    for text in (done.stdout, (tmp_path / "fid.md").read_text("utf-8")):
        assert "画家 ± é" in text
    assert "画家 ± é" in (results / "report.html").read_text("utf-8")


def test_digests_do_not_depend_on_the_order_of_keys():
    assert files.digest({"a": 1, "b": [1.5, None]}) == files.digest({"b": [1.5, None], "a": 1})
    assert files.digest({"a": 1}) != files.digest({"a": 2})


HOLD = """
import sys, time
from pathlib import Path
from fpa.core.files import locked
with locked(Path(sys.argv[1]), "at it"):
    print("held", flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def holding(tmp_path):
    """Another process that holds the folder."""
    with started(sys.executable, "-c", HOLD, tmp_path) as process:
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(files, "LOCK_PAUSE", 0.01)


def written(folder: Path, holder: Holder, seconds_ago: float) -> Path:
    """A lock file of another machine, whose last sign of life was so long ago."""
    path = folder / "lock"
    path.write_text(json.dumps(holder))
    then = path.stat().st_mtime - seconds_ago
    os.utime(path, (then, then))
    return path


def test_it_says_for_whom_it_waits_and_goes_on_when_that_one_is_killed(tmp_path, holding, caplog):
    with pytest.raises(UserError, match=f"another process is busy .process {holding.pid} of "):
        locked(tmp_path, "busy").__enter__()
    threading.Timer(0.3, holding.send_signal, [signal.SIGKILL]).start()
    with caplog.at_level("INFO", logger="fpa"), locked(tmp_path, "busy", wait=True):
        assert holding.wait(HANGING) == -signal.SIGKILL
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith(f"waiting for process {holding.pid} of ")
    assert said[0].endswith("which is busy")


def test_a_process_that_is_stopped_is_not_dead(tmp_path, holding, monkeypatch):
    holding.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(files, "LEASE", 0)
    with pytest.raises(UserError, match="another process is busy"):
        locked(tmp_path, "busy").__enter__()


def test_another_machine_is_waited_for_as_long_as_it_gives_signs_of_life(tmp_path):
    """Where its flock is not seen here."""
    other = Holder("node7", 12, "anna")
    written(tmp_path, other, files.LEASE - 10)
    with pytest.raises(UserError, match="process 12 of anna on node7"):
        locked(tmp_path, "busy").__enter__()
    written(tmp_path, other, files.LEASE + 10)
    with locked(tmp_path, "busy"):
        assert json.loads((tmp_path / "lock").read_text()) == [*Holder.me()]
    assert (tmp_path / "lock").read_text() == ""


def test_a_machine_that_went_down_with_the_lock_blocks_nobody(tmp_path):
    """Where the file server still keeps its flock."""
    path = written(tmp_path, Holder("node7", 12, "anna"), files.LEASE + 10)
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with locked(tmp_path, "busy"), pytest.raises(UserError, match="another process is busy"):
            locked(tmp_path, "busy").__enter__()


def test_the_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "HEARTBEAT", 0.01)
    with locked(tmp_path, "busy"):
        os.utime(tmp_path / "lock", (0, 0))
        deadline = time.monotonic() + HANGING
        while (tmp_path / "lock").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "lock").stat().st_mtime > 0


def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match="is on a file system without file locks") as error:
        locked(tmp_path, "busy").__enter__()
    assert "\n" not in str(error.value)


def test_temporary_names_tell_host_and_process(tmp_path):
    host, pid, _ = Holder.me()
    with atomic_path(tmp_path / "x.npy") as temporary:
        temporary.write_text("x")
        assert temporary.name == f".x.npy.{host}.{pid}.part"


def source(folder: Path, value: int, count: int = 6) -> dict:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        image = np.full((16, 16, 3), value + i, np.uint8)
        (folder / f"{i}.png").write_bytes(png(image))
    return images_dataset(folder)


def test_of_two_preparations_the_second_takes_what_the_first_made(tmp_path, caplog):
    dataset, store = source(tmp_path / "photos", 1), tmp_path / "store"
    with locked(store / "unfinished", "preparing"):
        thread = threading.Thread(target=prepare, args=(dataset, store, 1))
        with caplog.at_level("INFO", logger="fpa"):
            thread.start()
            while "waiting for process" not in caplog.text:
                time.sleep(0.01)
        assert not (store / "images.npy").exists()
    thread.join()
    images, _ = open_store(store)
    before = (store / "images.npy").stat().st_ino
    with caplog.at_level("INFO", logger="fpa"):
        prepare(dataset, store, 1)
    assert "prepared already" in caplog.text
    # The one that is being read stays in its place.
    assert (store / "images.npy").stat().st_ino == before
    assert images[0].max() == 1
    assert not (store / "unfinished").exists()


def test_touched_and_copied_images_are_the_same_and_changed_ones_are_refused(tmp_path):
    photos, store = tmp_path / "photos", tmp_path / "store"
    dataset = source(photos, 1)
    manifest = prepare(dataset, store, 1)
    os.utime(photos / "1.png", (0, 0))
    assert prepare(dataset, store, 1).images_sha256 == manifest.images_sha256
    assert open_store(store)[1].source.stamp != manifest.source.stamp
    (photos / "1.png").write_bytes(png(np.full((16, 16, 3), 99, np.uint8)))
    with pytest.raises(UserError, match=r"from other images than .*photos holds now \(6 then, 6"):
        prepare(dataset, store, 1)
    source(photos, 1, count=7)
    with pytest.raises(UserError, match=r"\(6 then, 7 now\)"):
        prepare(dataset, store, 1)
    # Gone, it was what it was.
    for path in photos.iterdir():
        path.unlink()
    photos.rmdir()
    assert open_store(store)[1].images_sha256 == manifest.images_sha256


def test_two_clones_with_the_same_relative_path_do_not_share_one_wrong_store(tmp_path, monkeypatch):
    data = tmp_path / "data"
    for clone, value in (("a", 1), ("b", 100)):
        (tmp_path / clone).mkdir()
        source(tmp_path / clone / "photos", value)
    refused = pytest.raises(UserError, match="was prepared from other images than photos holds now")
    for clone, outcome in (("a", contextlib.nullcontext()), ("b", refused)):
        monkeypatch.chdir(tmp_path / clone)
        with outcome:
            prepare(images_dataset(Path("photos")), data / "mine", 1)
    assert open_store(data / "mine")[0][0].max() == 1


def test_a_manifest_that_describes_nothing_is_one_line(tmp_path, tiny):
    config = {**tiny, "data": str(tmp_path)}
    (spec,) = Plan(config).datasets.values()
    folder = tmp_path / store_name(spec)
    for name in ("images.npy", "manifest.json"):
        write_json(folder / name, {})
    with pytest.raises(UserError, match="does not describe a prepared data set; delete"):
        check_source(spec, folder)
