"""Bundles: what they hold, and every way in which one can be wrong."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import made_up
import pytest
from conftest import fpa

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.reporting.bundle import FORMAT, pack, unpack


@pytest.fixture
def results(tmp_path):
    """A finished experiment's artifacts, made up."""
    about, _, folder = made_up.fill(tmp_path / "made", made_up.experiment())
    for run in about["runs"]:
        for name in ("run.json", "cost.json"):
            (folder / run["folder"] / name).write_text("{}\n")
        (folder / run["folder"] / "weights.safetensors").write_bytes(b"weights")
    # Where it would be by default.
    about["config"]["results"] = None
    (folder / "experiment.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def bundle(results, tmp_path):
    pack(results, tmp_path / "bundle.tar.gz")
    return tmp_path / "bundle.tar.gz"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def write(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)


def with_manifest(files: dict[str, bytes], /, **changes) -> dict[str, bytes]:
    manifest = {**json.loads(files["manifest.json"]), **changes}
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def test_a_bundle_has_what_is_needed_and_the_same_results_give_the_same_bytes(
    results, bundle, tmp_path
):
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


def test_a_bundle_is_restored_byte_for_byte_where_its_configuration_says(
    results, bundle, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = unpack(bundle)
    assert folder == Path("results/made-up")
    restored = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    assert {str(path) for path in restored} == set(members(bundle)) - {"manifest.json"}
    for path in restored:
        assert file_digest(folder / path) == file_digest(results / path)
    assert len({(folder / path).stat().st_mtime_ns for path in restored}) == 1
    assert unpack(bundle) == folder  # once more changes nothing


def some(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith("history.csv"))


def described(files: dict[str, bytes], change: Callable[[dict], None]) -> dict[str, bytes]:
    """The same with another description, of which the manifest has the right digest."""
    about = json.loads(files["experiment.json"])
    change(about)
    text = json.dumps(about).encode()
    listed = json.loads(files["manifest.json"])["files"]
    listed["experiment.json"] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    return with_manifest({**files, "experiment.json": text}, files=listed)


def moved(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    """The same with the first run in another folder, in description and manifest too."""
    old = json.loads(files["experiment.json"])["runs"][0]["folder"]
    listed = json.loads(files["manifest.json"])["files"]
    listed = {name.replace(old, folder): about for name, about in listed.items()}
    found = {name.replace(old, folder): data for name, data in files.items()}
    found = with_manifest(found, files=listed)
    return described(found, lambda about: about["runs"][0].update(folder=folder))


def renamed(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    """The same with one file under another name, in the manifest too."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"][name] = manifest["files"].pop(some(files))
    found = {name if key == some(files) else key: data for key, data in files.items()}
    return with_manifest(found, files=manifest["files"])


WRONG = {
    "digest": (lambda f: {**f, some(f): f[some(f)][:-1] + b"?"}, "has SHA-256 .* is damaged"),
    "size": (lambda f: {**f, some(f): f[some(f)] + b"?"}, "not the file that its manifest"),
    "absent": (lambda f: {k: v for k, v in f.items() if k != some(f)}, "lacks 1 files"),
    "stranger": (lambda f: {**f, "extra.txt": b"x"}, "which its manifest.json does not name"),
    "climbing": (lambda f: renamed(f, "../outside.txt"), "is not a file of its experiment"),
    "absolute": (lambda f: renamed(f, "/tmp/outside.txt"), "is not a file of its experiment"),
    "dotted": (lambda f: renamed(f, "a/./b.txt"), "is not a file of its experiment"),
    "foreign": (lambda f: renamed(f, "fpa/core/errors.py"), "is not a file of its experiment"),
    "foreign run": (lambda f: renamed(f, f"{some(f)}.py"), "is not a file of its experiment"),
    "code": (lambda f: moved(f, "fpa/common"), "has a run in 'fpa/common'"),
    "newer": (lambda f: with_manifest(f, format=FORMAT + 1, fpa="9.9"), "made by version 9.9; "),
    "older": (
        lambda f: with_manifest(f, format=1, fpa="0.1.0"),
        "format 1, made by version 0.1.0; this version .* reads format 2: unpack it with the "
        "version that made it, or make the bundle again with this one$",
    ),
    "no description": (
        lambda f: {k: v for k, v in f.items() if k != "experiment.json"},
        "has no experiment.json after its manifest.json",
    ),
    "changed description": (lambda f: {**f, "experiment.json": b"{}"}, "has SHA-256 .* damaged"),
    "empty description": (lambda f: described(f, dict.clear), "is not one of this version"),
    "no manifest": (lambda f: {"a": b"x"}, "is not a bundle"),
    "not json": (lambda f: {**f, "manifest.json": b"{"}, "is not valid JSON"),
    "not a manifest": (lambda f: {**f, "manifest.json": b"[]"}, "bundle format None"),
    "no files": (lambda f: with_manifest(f, files=3), "does not list files"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_bundle_is_refused_and_restores_nothing(bundle, tmp_path, kind):
    change, message = WRONG[kind]
    write(tmp_path / "wrong.tar.gz", change(members(bundle)))
    with pytest.raises(UserError, match=message):
        unpack(tmp_path / "wrong.tar.gz", tmp_path / "into" / "here")
    assert not [p for p in (tmp_path / "into").rglob("*") if p.is_file()]
    assert not (tmp_path / "into" / "outside.txt").exists()


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


def test_links_are_refused(bundle, tmp_path):
    files = members(bundle)
    name = some(files)
    write(tmp_path / "wrong.tar.gz", {k: v for k, v in files.items() if k != name}, {name: "/etc"})
    with pytest.raises(UserError, match="not the file that its manifest"):
        unpack(tmp_path / "wrong.tar.gz", tmp_path / "into")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "runs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "linked" / "experiment.json").write_bytes(files["experiment.json"])
    with pytest.raises(UserError, match="leads out of"):
        unpack(bundle, tmp_path / "linked")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("cut", [0.0, 0.01, 0.5, 0.99])
def test_a_broken_download_is_refused(bundle, tmp_path, cut):
    data = bundle.read_bytes()
    bundle.write_bytes(data[: int(len(data) * cut)])
    done = fpa("unpack", bundle, "--into", "into", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not [p for p in (tmp_path / "into").rglob("*") if p.is_file()]


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


@pytest.mark.parametrize(
    "configured", [".", "fpa", "/somewhere/results", "results/../fpa", "../results", "results/."]
)
def test_a_bundle_does_not_decide_on_a_folder_that_is_not_for_results(
    bundle, tmp_path, monkeypatch, configured
):
    monkeypatch.chdir(tmp_path)
    files = described(members(bundle), lambda about: about["config"].update(results=configured))
    write(tmp_path / "other.tar.gz", files)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="name a folder for it by --into") as refused:
        unpack(tmp_path / "other.tar.gz")
    assert len(str(refused.value).splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
    assert unpack(tmp_path / "other.tar.gz", tmp_path / "here") == tmp_path / "here"


@pytest.mark.parametrize("configured", ["results", "results/of/mine"])
def test_a_bundle_is_restored_in_the_results_folder_of_its_configuration(
    bundle, tmp_path, monkeypatch, configured
):
    monkeypatch.chdir(tmp_path)
    files = described(members(bundle), lambda about: about["config"].update(results=configured))
    write(tmp_path / "other.tar.gz", files)
    assert unpack(tmp_path / "other.tar.gz") == Path(configured)
    assert (tmp_path / configured / "experiment.json").exists()


def test_a_manifest_of_endless_zeros_is_not_read(tmp_path):
    member = tarfile.TarInfo("manifest.json")
    member.size = 1 << 40
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as file:
        file.write(member.tobuf() + bytes(1 << 20))
    with pytest.raises(UserError, match="more than any bundle's"):
        unpack(tmp_path / "bomb.tar.gz", tmp_path / "into")
