"""`fpa clean`: what is listed, what is deleted, what is never touched."""

import copy
import os

import pytest
import yaml
from conftest import TINY, fpa, fpa_ok

from fpa.core.files import write_json, write_text
from fpa.data.sources import store_name
from fpa.experiment.plan import Plan

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
