"""The checklist names what is missing in a published folder, and nothing else."""

import json

import pytest
import yaml
from conftest import fpa

from fpa.core.errors import UserError
from fpa.core.files import write_json
from fpa.reporting import publication as layout
from fpa.reporting.publication import Publication, missing
from fpa.reporting.publish import author, check_licence, citation

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
