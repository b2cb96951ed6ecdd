"""Bundles: what they hold, and where they are restored (harmful ones are in test_hostile_archives.py); the checklist names
what is missing in a published folder, and nothing else."""

import json
import shutil
import tarfile
from pathlib import Path

import made_up
import pytest
import yaml
from conftest import fpa

from fpa.core.errors import UserError
from fpa.core.files import file_digest, write_json
from fpa.reporting import publication as layout
from fpa.reporting.bundle import pack, unpack
from fpa.reporting.publication import Publication, missing
from fpa.reporting.publish import author, check_licence, citation


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


def test_it_is_unpacked_where_tarfile_has_no_filters(bundle, tmp_path, monkeypatch):
    """As in Python 3.11.2."""
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    assert (unpack(bundle, tmp_path / "x") / "experiment.json").exists()


def test_other_results_and_folders_of_something_else_are_left_alone(bundle, tmp_path):
    for folder, message in (
        ("other", r"has results of another experiment .mine.; name another"),
        ("project", "neither empty nor has results of this experiment"),
    ):
        (tmp_path / folder / "fpa").mkdir(parents=True)
        if folder == "other":
            (tmp_path / folder / "experiment.json").write_text('{"experiment": "mine"}')
        before = sorted((tmp_path / folder).rglob("*"))
        with pytest.raises(UserError, match=message):
            unpack(bundle, tmp_path / folder)
        assert sorted((tmp_path / folder).rglob("*")) == before
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


VERSIONS = {"fpa": "0.2.0", "commit": "0123456789ab"}
DIGEST = "ab" * 32
DATASET = {
    **{"dataset": "digits", "source": "digits", "description": "digits", "page": ""},
    **{"licence": "CC BY 4.0", "citation": "", "images": 1797, "resolution": 16},
    "images_sha256": DIGEST,
}
TRAINING = {
    **{
        "dataset": "digits",
        "model": "fpa",
        "images": 96,
        "steps": 12,
        "hours": 0.1,
        "machine": "cpu",
    },
    **{"precision": [], "versions": VERSIONS, "stages": {"train": 2}, "images_sha256": DIGEST},
}
WHOLE = {
    **{"format": 1, "experiment": "made-up", "versions": VERSIONS, "datasets": [DATASET]},
    "configuration": {"results": None, "data": "data"},
    "trainings": [{**TRAINING, "seed": seed, "digest": f"{seed}" * 64} for seed in range(3)],
    "models": {f"{seed}" * 64: f"models/{seed}" for seed in range(3)},
}


def write(folder, about, authors=("Irie, Kazuki",), licence="CC-BY-4.0"):
    folder.mkdir()
    write_json(folder / layout.ABOUT, about)
    for name in ("README.md", "DATASHEET.md", "bundle.tar.gz", "report.html"):
        (folder / name).write_text("made up\n")
    (folder / layout.CITATION).write_text(citation(Publication(**about), authors, licence, {}))
    (folder / layout.CHECKSUMS).write_text(layout.checksums(folder))
    return folder


def test_a_whole_folder_misses_nothing(tmp_path):
    folder = write(tmp_path / "out", WHOLE)
    assert missing(folder) == []
    done = fpa("checklist", folder, cwd=tmp_path)
    assert (done.returncode, "nothing is missing" in done.stderr) == (0, True)


# Where in the description, what stands there instead (None: nothing), and what is named.
CHANGES = [
    ("datasets 0 licence", "", "digits is not known"),
    ("datasets 0 licence", "CC BY-NC 4.0", "digits is for non-commercial use"),
    ("datasets 0 source", "folder", "are your own"),
    ("trainings 0 versions commit", None, "do not say which commit they were made from: 1 of 3"),
    ("versions commit", "0123456789ab-dirty", "changes that are in no commit"),
    ("trainings 0 versions commit", "ba9876543210", "from 2 commits"),
    (f"models {'2' * 64}", None, "Trained generators that are not there: 1 of 3"),
    ("trainings 2", None, "Fewer than 3 trainings of fpa"),
    ("trainings 0 stages train", 1, "several versions of stage train"),
    ("trainings 0 images_sha256", "cd" * 32, "saw different images"),
    ("configuration data", "/home/me/data", "names folders of your machine, as /home/me/data"),
]


@pytest.mark.parametrize(("where", "value", "words"), CHANGES)
def test_each_gap_is_named_by_itself(tmp_path, where, value, words):
    about = json.loads(json.dumps(WHOLE))  # without parts that stand in several places
    *way, last = (int(key) if len(key) == 1 else key for key in where.split())
    part = about
    for key in way:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    (found,) = missing(write(tmp_path / "out", about))
    assert words in found


def test_authors_licence_and_files_are_asked_for(tmp_path):
    folder = write(tmp_path / "out", WHOLE, authors=(), licence=None)
    (folder / "bundle.tar.gz").unlink()
    (folder / "notes.txt").write_text("forgotten\n")
    found = "\n".join(missing(folder))
    for words in (
        "There is no bundle.tar.gz",
        "Files without a checksum: 1, the first is notes.txt",
        "names no authors",
        "No licence says",
    ):
        assert words in found
    done = fpa("checklist", folder, cwd=tmp_path)
    assert done.returncode == 1
    assert "open points: 4" in done.stderr


@pytest.mark.parametrize(
    "about", [[], {"format": 2}, {**WHOLE, "trainings": [3]}, {**WHOLE, "datasets": [{}]}]
)
def test_something_else_is_refused_in_one_line(tmp_path, about):
    (tmp_path / layout.CITATION).write_text("authors: [{name: me}]\nlicense: MIT\n")
    write_json(tmp_path / layout.ABOUT, about)
    with pytest.raises(UserError, match="python -m fpa publish"):
        missing(tmp_path)


def test_a_citation_is_what_the_format_asks_for():
    text = citation(
        Publication(**WHOLE), ["Irie, Kazuki", "The group"], "MIT", {"bundle.tar.gz": "ab"}
    )
    found = yaml.safe_load(text)
    assert found["authors"] == [
        {"family-names": "Irie", "given-names": "Kazuki"},
        {"name": "The group"},
    ]
    # Required by version 1.2.0 of the format.
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    assert found["commit"] == "0123456789ab"
    assert found["identifiers"][0]["value"] == "sha256:ab"
    assert author("Irie,") == {"name": "Irie"}
    with pytest.raises(UserError, match="SPDX identifier"):
        check_licence("any licence")


@pytest.mark.parametrize("line", ["ab  x", f"{'a' * 64}  ../x", f"{'a' * 64}  /etc/x"])
def test_checksums_name_files_of_the_folder(tmp_path, line):
    (tmp_path / layout.CHECKSUMS).write_text(f"{line}\n")
    with pytest.raises(UserError, match="not a file's checksum"):
        layout.read_checksums(tmp_path)
