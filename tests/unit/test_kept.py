"""What is kept: `fpa clean` lists and deletes what can be made again; no job may make a finished run's files again, and a
training gets its results back."""

import copy
import os
from dataclasses import replace

import pytest
import yaml
from conftest import TINY, fpa, fpa_ok

from fpa.core.errors import UserError
from fpa.core.files import write_json, write_text
from fpa.data.sources import store_name
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.workflow.immutable_outputs import kept_files

KEPT = ("weights.safetensors", "history.csv", "score-quick-0123456789.json", "run.json")


@pytest.fixture
def folder(tmp_path):
    """Two configurations of one experiment, with runs of both, and what a year leaves behind."""
    one = {**copy.deepcopy(TINY), "models": {"fpa": TINY["models"]["fpa"]}}
    two = {**copy.deepcopy(one), "seeds": [1], "datasets": {"digits": {"resolution": 32}}}
    for name, config in (("one", one), ("two", two)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
        experiment = Plan(config)
        run = experiment.runs[0]
        place = tmp_path / experiment.results / run.folder
        for file in (
            *KEPT,
            experiment.experiment.samples_file,
            experiment.sampled,
            "features-best-n32-seed0.x.npy",
        ):
            write_text(place / file, "x" * 1000)
        write_json(place / "train.json", {"digest": run.digest})
        write_text(place / "state" / "step-000000012.pt", "x" * 1000)
        (place / "state" / "finished").mkdir()
        os.link(place / KEPT[0], place / "state" / "finished" / KEPT[0])
        store = tmp_path / "data" / store_name(experiment.datasets["digits"])
        write_text(store / "images.npy", "x" * 1000)
    write_text(tmp_path / "data" / "archives" / "afhq.zip", "x")
    write_text(tmp_path / "data" / "my-own-folder" / "x", "x")
    for name, hours in (("old", 48), ("new", 1)):
        path = tmp_path / "data" / f".{name}.npy.host.1.part"
        path.write_text("x")
        os.utime(path, (path.stat().st_mtime - hours * 3600,) * 2)
    return tmp_path


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_it_lists_and_deletes_nothing_unless_told_to(folder):
    before = files(folder)
    done = fpa_ok("clean", "one.yaml", cwd=folder)
    assert files(folder) == before
    assert "finished run of no model here" in done.stdout
    assert "(--yes deletes them)" in done.stdout.splitlines()[-1]


def test_with_every_configuration_only_what_can_be_made_again_goes(folder):
    before = files(folder)
    done = fpa_ok("clean", "one.yaml", "two.yaml", "--yes", cwd=folder)
    gone = before - files(folder)
    kinds = {"step-000000012.pt", "samples-best-n32-seed0.npy", "features-best-n32-seed0.x.npy"}
    assert {path.rpartition("/")[2] for path in gone} == kinds | {".old.npy.host.1.part"}
    assert len(gone) == 7
    assert done.stdout.splitlines()[-1] == "7 to delete, 6.0 kB"
    assert fpa("clean", "one.yaml", "two.yaml", cwd=folder).stdout == "0 to delete, 0 bytes\n"


def test_runs_and_stores_of_a_configuration_that_is_not_given_go(folder):
    before = files(folder)
    fpa_ok("clean", "two.yaml", "--yes", cwd=folder)
    left = files(folder)
    assert {path for path in left if path.startswith("data/digits-16px")} == set()
    assert not [path for path in left if "/seed0-" in path]
    assert {path for path in before if "/seed1-" in path and path.endswith(KEPT)} <= left
    assert {"data/archives/afhq.zip", "data/my-own-folder/x"} <= left


def test_an_unfinished_run_keeps_its_checkpoints(folder):
    (summary,) = folder.rglob("seed0-*/train.json")
    summary.unlink()
    fpa_ok("clean", "one.yaml", "two.yaml", "--yes", cwd=folder)
    assert (summary.parent / "state" / "step-000000012.pt").exists()


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
