"""Files appear whole or not at all, whatever goes wrong."""

import errno
import json
import os
import sys
import tarfile

import made_up
import numpy as np
import pytest
import yaml
from conftest import environment, images_dataset, png, run

from fpa.core import files
from fpa.core.errors import UserError


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
