"""Bundles: what they hold, and where they are restored. Harmful ones are in test_hostile_archives.py."""

import json
import shutil
import tarfile
from pathlib import Path

import made_up
import pytest

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.reporting.bundle import pack, unpack


@pytest.fixture
def results(tmp_path):
    """A finished experiment's artifacts, made up."""
    about, _, folder = made_up.fill(tmp_path / "made", made_up.experiment())
    for run in about.runs:
        for name in ("run.json", "cost.json"):
            (folder / run.folder / name).write_text("{}\n")
        (folder / run.folder / "weights.safetensors").write_bytes(b"weights")
    # Where it would be by default.
    config = about.config.model_copy(update={"results": None})
    about.model_copy(update={"config": config}).write(folder)
    return folder


@pytest.fixture
def bundle(results, tmp_path):
    pack(results, tmp_path / "bundle.tar.gz")
    return tmp_path / "bundle.tar.gz"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_a_bundle_has_what_is_needed_and_is_reproducible(results, bundle, tmp_path):
    files = members(bundle)
    assert next(iter(files)) == "manifest.json"
    manifest = json.loads(files.pop("manifest.json"))
    assert set(manifest["files"]) == set(files)
    assert not [name for name in files if "weights" in name or "tables/" in name]
    pack(results, tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == bundle.read_bytes()
    pack(results, tmp_path / "more.tar.gz", weights=True)
    more = set(members(tmp_path / "more.tar.gz"))
    assert len([name for name in more if name.endswith("weights.safetensors")]) == 3


def test_an_unfinished_experiment_is_not_packed(results, tmp_path):
    next(results.rglob("history.csv")).unlink()
    with pytest.raises(UserError, match="finish the experiment first"):
        pack(results, tmp_path / "bundle.tar.gz")
    assert not (tmp_path / "bundle.tar.gz").exists()


def test_a_bundle_is_restored_where_its_configuration_says(results, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = unpack(bundle)
    assert folder == Path("results/made-up")
    restored = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    assert {str(path) for path in restored} == set(members(bundle)) - {"manifest.json"}
    for path in restored:
        assert file_digest(folder / path) == file_digest(results / path)
    assert len({(folder / path).stat().st_mtime_ns for path in restored}) == 1
    assert unpack(bundle) == folder  # once more changes nothing


def test_a_bundle_has_the_snapshots_where_there_are_some(results, tmp_path):
    snapshots = sorted(results.rglob("snapshots.npz"))
    assert len(snapshots) == 3
    snapshots[0].unlink()
    pack(results, tmp_path / "bundle.tar.gz")
    folder = unpack(tmp_path / "bundle.tar.gz", tmp_path / "into")
    expected = [path.relative_to(results) for path in snapshots[1:]]
    assert sorted(path.relative_to(folder) for path in folder.rglob("snapshots.npz")) == expected
    for path in expected:
        assert file_digest(folder / path) == file_digest(results / path)


def test_a_folder_that_leads_elsewhere_is_left_alone(results, bundle, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "runs").symlink_to(tmp_path / "elsewhere")
    shutil.copy(results / "experiment.json", tmp_path / "linked")
    with pytest.raises(UserError, match="leads out of"):
        unpack(bundle, tmp_path / "linked")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_python_whose_tarfile_has_no_filters_is_told_in_one_line(bundle, tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(UserError, match=r"Python 3\.11\.4 or later"):
        unpack(bundle, tmp_path / "x")


def test_other_results_are_not_overwritten(bundle, tmp_path):
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "experiment.json").write_text('{"experiment": "mine"}')
    with pytest.raises(UserError, match=r"has results of another experiment .mine.; name another"):
        unpack(bundle, tmp_path / "into")
    assert len(list((tmp_path / "into").iterdir())) == 1


def test_a_folder_of_something_else_is_left_alone(bundle, tmp_path):
    (tmp_path / "project" / "fpa").mkdir(parents=True)
    with pytest.raises(UserError, match="neither empty nor has results of this experiment"):
        unpack(bundle, tmp_path / "project")
    assert [p.name for p in (tmp_path / "project").rglob("*")] == ["fpa"]
    (tmp_path / "empty").mkdir()
    assert (unpack(bundle, tmp_path / "empty") / "experiment.json").exists()


@pytest.fixture
def configured_bundle(results, tmp_path, monkeypatch):
    """Makes a bundle of results that were made in another folder, from a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def make(folder: str) -> Path:
        about = json.loads((results / "experiment.json").read_text())
        about["config"]["results"] = folder
        (results / "experiment.json").write_text(json.dumps(about))
        pack(results, tmp_path / "other.tar.gz")
        return tmp_path / "other.tar.gz"

    return make


@pytest.mark.parametrize(
    "configured", [".", "fpa", "/somewhere/results", "results/../fpa", "../results", "results/."]
)
def test_a_bundle_cannot_choose_any_folder(configured_bundle, tmp_path, configured):
    bundle = configured_bundle(configured)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="name a folder for it by --into") as refused:
        unpack(bundle)
    assert len(str(refused.value).splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
    assert unpack(bundle, tmp_path / "here") == tmp_path / "here"


@pytest.mark.parametrize("configured", ["results", "results/of/mine"])
def test_a_bundle_may_choose_a_results_folder(configured_bundle, tmp_path, configured):
    assert unpack(configured_bundle(configured)) == Path(configured)
    assert (tmp_path / configured / "experiment.json").exists()
