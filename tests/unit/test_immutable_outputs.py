"""Finished runs: which files no job may make again, and how a training gets its results back."""

import os
from dataclasses import replace

import pytest
from conftest import TINY

from fpa.core.errors import UserError
from fpa.core.files import write_json, write_text
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.workflow.immutable_outputs import kept_files

SCORE = "score-quick-0123456789.json"


@pytest.fixture
def run():
    return Plan({**TINY, "models": {"fpa": TINY["models"]["fpa"]}}).runs[0]


def finish(folder, run, weights="abc"):
    """What a finished and scored run leaves, as small as can be."""
    for name in ("weights.safetensors", "history.csv", "run.json"):
        write_text(folder / name, name)
    summary = {"digest": run.digest, "images_sha256": "images", "weights_sha256": weights}
    summary["steps"] = run.steps
    write_json(folder / "train.json", summary)
    write_json(folder / SCORE, {"run": run.digest, "trained_sha256": weights})


def kept(results, run):
    files = kept_files(results, [run], [SCORE])
    assert all(file.startswith(f"{run.folder}/") for file in files)
    return {file.removeprefix(f"{run.folder}/") for file in files}


def test_a_finished_run_is_kept_and_an_unfinished_one_is_not(tmp_path, run):
    assert kept(tmp_path, run) == set()
    folder = tmp_path / run.folder
    finish(folder, run)
    expected = {"run.json", "weights.safetensors", "history.csv", "train.json", SCORE}
    assert kept(tmp_path, run) == expected
    (folder / "history.csv").unlink()
    assert kept(tmp_path, run) == expected - {"history.csv"}
    for broken in ("", "{", "[]", '{"digest": "another"}'):
        (folder / "train.json").write_text(broken)
        assert kept(tmp_path, run) == set()


def test_a_score_of_other_weights_or_a_broken_one_is_not_kept(tmp_path, run):
    folder = tmp_path / run.folder
    finish(folder, run)
    good = {"run": run.digest, "trained_sha256": "abc"}
    for score, expected in (
        ({**good, "trained_sha256": "def"}, False),
        ({**good, "run": "another"}, False),
        ({"run": run.digest}, True),  # before version 0.3
        (good, True),
    ):
        write_json(folder / SCORE, score)
        assert (SCORE in kept(tmp_path, run)) == expected
    (folder / SCORE).write_text("{")
    assert SCORE not in kept(tmp_path, run)


def test_what_came_in_a_bundle_stays_whole(tmp_path, run):
    folder = tmp_path / run.folder
    finish(folder, run)
    (folder / "weights.safetensors").unlink()
    write_text(folder / "paintings-best-n2-seed0.npz", "painting")
    expected = {"run.json", "weights.safetensors", "history.csv", "train.json", SCORE}
    assert kept(tmp_path, run) == expected | {"paintings-best-n2-seed0.npz"}


def test_a_finished_training_gets_its_files_back_without_using_room(tmp_path, run):
    finish(RunFolder(tmp_path).backup.path, run)
    (tmp_path / "state" / "step-000000012.pt").write_text("checkpoint")
    RunFolder(tmp_path).publish_backup()
    assert not list(tmp_path.rglob("step-*.pt"))
    for name in RunFolder.RESULTS:
        assert (tmp_path / name).samefile(RunFolder(tmp_path).backup.path / name)
    for lost in ([], ["train.json"], RunFolder.RESULTS):
        for name in lost:
            (tmp_path / name).unlink()
        assert RunFolder(tmp_path).restore_finished(run, "images")
        assert all((tmp_path / name).exists() for name in RunFolder.RESULTS)
    assert not list(tmp_path.rglob("*.part"))
    assert not RunFolder(tmp_path).restore_finished(replace(run, digest="another"), "images")
    with pytest.raises(UserError, match="trained on other images than are prepared now"):
        RunFolder(tmp_path).restore_finished(run, "other images")


def test_where_there_are_no_hard_links_files_are_copied(tmp_path, run, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    finish(RunFolder(tmp_path).backup.path, run)
    RunFolder(tmp_path).publish_backup()
    assert (tmp_path / "history.csv").read_text() == "history.csv"


def test_files_in_place_are_enough(tmp_path, run):
    finish(tmp_path, run)
    assert RunFolder(tmp_path).restore_finished(run, "images")
    assert not (tmp_path / "state").exists()
    (tmp_path / "weights.safetensors").unlink()
    assert not RunFolder(tmp_path).restore_finished(run, "images")
