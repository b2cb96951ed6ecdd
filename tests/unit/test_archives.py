"""Real files in every kind of archive, whole and broken: what is prepared, refused and reported."""

import dataclasses
import io
import os
import random
import signal
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Literal
from unittest import mock

import lmdb
import numpy as np
import pytest
from conftest import HANGING, encode, fpa, fpa_ok, images_dataset, jpeg, png, started

from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_json
from fpa.data.picture import FILTERS, decode
from fpa.data.prepare import CHUNK, prepare
from fpa.data.sources import SOURCES, DatasetSpec, resolve
from fpa.data.store import LeftOut, open_store

Files = dict[str, bytes]


def make_folder(path: Path, files: Files) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def make_zip(
    path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED, mode: Literal["w", "a"] = "w"
) -> Path:
    with zipfile.ZipFile(path, mode, method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: Files, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return path


def make_lmdb(path: Path, files: Files) -> Path:
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as t:
        for name, data in files.items():
            t.put(name.encode(), data)
    return path


@pytest.fixture(scope="module")
def files(photographs) -> Files:
    """As many files in one folder as several processes share, and one that is no image."""
    named = {f"photos/{(37 * i) % 100:02d}.jpg": jpeg(p) for i, p in enumerate(photographs)}
    for i in range(60):
        named[f"photos/more/{i}.png"] = png(photographs[i % 40][: 30 + i, :50])
    return named | {"photos/about.txt": b"taken somewhere", "__MACOSX/photos/._00.jpg": b"x"}


@pytest.fixture(scope="module")
def kinds(files, tmp_path_factory) -> dict[str, Path]:
    """The same files in everything that they may come in, in different orders."""
    place = tmp_path_factory.mktemp("kinds")
    backwards = dict(reversed(files.items()))
    return {
        "folder": make_folder(place / "folder", files) / "photos",
        "parent": place / "folder",
        "zip": make_zip(place / "a.zip", files),
        "stored zip": make_zip(place / "b.zip", backwards, zipfile.ZIP_STORED),
        "tar": make_tar(place / "c.tar", {f"./{n}": d for n, d in backwards.items()}),
        "tar.gz": make_tar(place / "d.tar.gz", files, "w:gz"),
        "tar.xz": make_tar(place / "e.tar.xz", backwards, "w:xz"),
        "tar.bz2": make_tar(place / "f.tar.bz2", files, "w:bz2"),
    }


@pytest.fixture(scope="module")
def prepared(kinds, tmp_path_factory) -> Path:
    """The folder's images, prepared by one process."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(images_dataset(kinds["folder"]), folder, workers=1)
    return folder


def alike(manifest: dict) -> dict:
    """A manifest without what says how the images came."""
    source = {k: v for k, v in manifest["source"].items() if k == "files_sha256"}
    dataset = {k: v for k, v in manifest["dataset"].items() if k != "path"}
    return {**manifest, "source": source, "dataset": dataset, "ignored": None, "not_taken": None}


@pytest.mark.parametrize(
    "kind", ["folder", "parent", "zip", "stored zip", "tar", "tar.gz", "tar.xz", "tar.bz2"]
)
def test_any_archive_and_number_of_processes_gives_the_same_bytes(kinds, prepared, tmp_path, kind):
    prepare(images_dataset(kinds[kind]), tmp_path, workers=3)
    assert file_digest(tmp_path / "images.npy") == file_digest(prepared / "images.npy")
    ours, theirs = (read_json(p / "manifest.json") for p in (tmp_path, prepared))
    assert alike(ours) == alike(theirs)
    assert {p.name for p in tmp_path.iterdir()} == {"images.npy", "manifest.json"}


def test_the_array_and_the_manifest_hold_what_the_files_do(files, prepared):
    images, manifest = open_store(prepared)
    names = sorted(
        n.removeprefix("photos/") for n in files if n.endswith(("jpg", "png")) and "__" not in n
    )
    assert manifest.names == names
    assert manifest.count == len(images) == len(names) == 100
    for name, image in zip(names, images, strict=True):
        expected = decode(files[f"photos/{name}"], 16, 3, FILTERS["bilinear"])
        assert np.array_equal(image, expected)
    assert manifest.ignored == [LeftOut(name="about.txt", reason="no image by its first bytes")]
    assert manifest.unreadable == []
    assert manifest.versions["pillow"]


def test_an_lmdb_in_lsuns_format_is_read_in_the_order_of_its_keys(photographs, tmp_path):
    webp = {
        random.Random(i).randbytes(20).hex(): encode(p, "WEBP") for i, p in enumerate(photographs)
    }
    name = "church_outdoor_train_lmdb"
    database = make_lmdb(tmp_path / name, webp)
    inside = {f"{name}/{p.name}": p.read_bytes() for p in database.iterdir()}
    places = [
        database,
        tmp_path,
        make_zip(tmp_path / f"{name}.zip", inside),
        make_tar(tmp_path / f"{name}.tar", inside),
        make_tar(tmp_path / f"{name}.tar.gz", inside, "w:gz"),
    ]
    spec = {"resolution": 64, "channels": 3, "filter": "bilinear", "max_unreadable": 0}
    for i, place in enumerate(places):
        asked = {**spec, "source": None, "path": str(place), "count": 40}
        dataset = resolve("lsun_church", asked, tmp_path, "datasets.lsun_church")
        prepare(dataset, tmp_path / f"store{i}", workers=2)
        images, manifest = open_store(tmp_path / f"store{i}")
        assert manifest.names == sorted(webp)
        assert manifest.source.kind == "lmdb"
        for key, image in zip(sorted(webp), images, strict=True):
            assert np.array_equal(image, decode(webp[key], 64, 3, FILTERS["bilinear"]))
        assert not (tmp_path / f"store{i}" / "unfinished").exists()


# What is not taken -------------------------------------------------------------------------------

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


@pytest.mark.parametrize("make", [make_folder, make_zip, make_tar])
def test_a_file_is_known_by_its_content(photographs, tmp_path, make):
    kinds = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    files = {f"photos/{kind}": encode(photographs[0], kind) for kind in kinds}
    # A camera's own suffix, a wrong one, and images that are none.
    files |= {"photos/a.JPG_large": jpeg(photographs[1]), "photos/b.png": jpeg(photographs[2])}
    files |= {"photos/PM": b"P1 and P2 are notes", "photos/notes": b"BMW", "photos/empty": b""}
    films = {"photos/film.mp4": b"\0\0\0\x18ftypisom" + bytes(99)}
    files |= {**films, "photos/x.svg": b"<svg/>"}
    manifest = prepare(images_dataset(make(tmp_path / "made", files)), tmp_path / "store")
    assert manifest.names == sorted([*kinds, "a.JPG_large", "b.png"])
    assert manifest.not_taken == {"without a suffix": 3, ".mp4": 1, ".svg": 1}
    assert read_json(tmp_path / "store/manifest.json")["not_taken"] == manifest.not_taken


@pytest.mark.parametrize("name", ["{}.HEIC", "{}", "{}.jpg"])
def test_photographs_of_a_phone_are_not_left_out_without_a_word(photographs, tmp_path, name, heic):
    heic(False)
    files = {f"{i}.JPG": jpeg(photographs[i]) for i in range(3)}
    files |= {name.format(f"IMG_{i}"): HEIC for i in range(7)}
    files |= {"1.AAE": b"<xml>", "._1.JPG": b"x"}
    make_folder(tmp_path / "phone", files)

    def prepared(allowed: int):
        words = ("prepare", "mine", "source=folder", "path=phone", "resolution=16")
        options = ("--no-config", "--out", "store", "--workers", "1")
        return fpa(*words, f"max_unreadable={allowed}", *options, cwd=tmp_path)

    done = prepared(0)
    assert done.returncode == 1
    advice = "7 HEIC (pip install pillow-heif, which reads it, or save it as JPEG)"
    assert advice in done.stderr.splitlines()[-1]
    done = prepared(7)
    assert done.returncode == 0, done.stderr
    last = f"mine: 3 images of 16 px in store; not taken: {advice}, 1 .aae, 1 hidden or kept by the system"
    assert done.stderr.splitlines()[-1].endswith(last)
    # What has been installed meanwhile reads them.
    heic(True)
    assert "without 7 images (HEIC) that can be read now" in prepared(7).stderr
    # As the setting stands now.
    done = prepared(6)
    assert done.returncode == 1
    assert "max_unreadable is 6 now; set datasets.mine.max_unreadable: 7" in done.stderr


def test_links_and_photographs_that_are_elsewhere_are_told(photographs, tmp_path):
    files = {"1.jpg": jpeg(photographs[0]), ".IMG_2.HEIC.icloud": b"bplist00"}
    place = make_folder(tmp_path / "phone", files)
    (place / "3").symlink_to("1.jpg")
    manifest = prepare(images_dataset(place), tmp_path / "store")
    assert manifest.not_taken == {"links": 1, "placeholder of iCloud": 1}


def test_what_a_message_says_to_install_helps_the_next_call(photographs, tmp_path, heic):
    place = make_folder(tmp_path / "phone", {"1.jpg": jpeg(photographs[0]), "2.heic": HEIC})
    heic(False)
    with pytest.raises(UserError, match=r"1 HEIC \(pip install pillow-heif"):
        prepare(images_dataset(place), tmp_path / "store")
    heic(True)
    assert prepare(images_dataset(place), tmp_path / "store").count == 2


KEPT_BY_SYSTEMS = """
._1.jpg .DS_Store .thumbnails/1.jpg a/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg __MACOSX/a/1.jpg a/.@__thumb/1.jpg
#recycle/1.jpg $RECYCLE.BIN/1.jpg a/Thumbs.db ehthumbs_vista.db a/desktop.ini SYNOFILE_THUMB_M.jpg @Recycle/1.jpg
""".split()


@pytest.mark.parametrize("kind", ["folder", "zip", "zip of Windows", "tar"])
def test_what_systems_keep_beside_photographs_is_not_trained_on(photographs, tmp_path, kind):
    files = dict.fromkeys((f"photos/{name}" for name in KEPT_BY_SYSTEMS), jpeg(photographs[0]))
    for i, name in enumerate(("a/1.jpg", "b/thumbs up.jpg")):
        files[f"photos/{name}"] = jpeg(photographs[i])
    if kind == "zip of Windows":
        files = {name.replace("/", "\\"): data for name, data in files.items()}
        files["photos\\a\\"] = b""
    make = {"folder": make_folder, "tar": make_tar}.get(kind, make_zip)
    manifest = prepare(images_dataset(make(tmp_path / "made", files)), tmp_path / "store")
    assert manifest.names == ["a/1.jpg", "b/thumbs up.jpg"]
    assert manifest.not_taken == {"hidden or kept by the system": len(KEPT_BY_SYSTEMS)}


def test_a_zip_of_windows_is_read_as_any_other(afhq, tmp_path):
    windows = {name.replace("/", "\\"): data for name, data in afhq.items()}
    archive = make_zip(tmp_path / "afhq.zip", windows)
    assert prepare(known("afhq_cat", archive, 2), tmp_path / "cat").names == ["c1.jpg", "c2.jpg"]
    climbing = make_zip(tmp_path / "b.zip", {"..\\1.png": b"x", "2.png": next(iter(afhq.values()))})
    manifest = prepare(images_dataset(climbing, max_unreadable=1), tmp_path / "store")
    assert [entry.reason for entry in manifest.unreadable] == ["its name leads out of the archive"]


@pytest.mark.parametrize("make", [make_folder, make_zip, make_tar])
@pytest.mark.parametrize("beside", ["photo.jpg", "photo", "more/photo.png", "other/data.mdb"])
def test_an_lmdb_hides_no_images_beside_it(photographs, tmp_path, make, beside):
    database = make_lmdb(tmp_path / "lmdb", {"1": png(photographs[0])}) / "data.mdb"
    other = database.read_bytes() if beside.endswith("mdb") else jpeg(photographs[1])
    files = {"church/data.mdb": database.read_bytes(), "church/lock.mdb": b"", "notes.txt": b""}
    assert prepare(images_dataset(make(tmp_path / "good", files)), tmp_path / "store").count == 1
    place = make(tmp_path / "made", files | {beside: other})
    with pytest.raises(UserError, match=r"an LMDB and other images \(.*; put them into folders"):
        prepare(images_dataset(place), tmp_path / "other")


def test_an_lmdb_deep_among_photographs_is_not_left_out(photographs, tmp_path):
    files = {"1.png": png(photographs[0]), "a/b/c/data.mdb": b"whatever it holds"}
    with pytest.raises(UserError, match=r"an LMDB among other files \(a/b/c/data.mdb\)"):
        prepare(images_dataset(make_folder(tmp_path / "made", files)), tmp_path / "store")


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_mended_file_is_noticed(photographs, tmp_path, make):
    files = {"1.png": png(photographs[0]), "2.png": b"broken"}
    dataset = images_dataset(tmp_path / "made", max_unreadable=1)
    make(tmp_path / "made", files)
    assert prepare(dataset, tmp_path / "store").count == 1
    make(tmp_path / "made", files | {"2.png": b"broken otherwise"})
    assert prepare(dataset, tmp_path / "store").count == 1
    make(tmp_path / "made", files | {"2.png": png(photographs[1])})
    before = (tmp_path / "store/images.npy").read_bytes()
    with pytest.raises(UserError, match=r"without 2.png, which could not be read then .* delete"):
        prepare(dataset, tmp_path / "store")
    assert (tmp_path / "store/images.npy").read_bytes() == before


def test_fewer_unreadable_images_may_be_allowed_once_they_are_gone(photographs, tmp_path):
    files = {"1.png": png(photographs[0]), "2.png": b"broken", "3.png": b"broken"}
    place = make_folder(tmp_path / "made", files)
    prepare(images_dataset(place, max_unreadable=2), tmp_path / "store")
    (place / "2.png").unlink()
    with pytest.raises(UserError, match=r"without 1 images .* max_unreadable is 0 now"):
        prepare(images_dataset(place), tmp_path / "store")
    (place / "3.png").unlink()
    manifest = prepare(images_dataset(place), tmp_path / "store")
    assert (manifest.count, manifest.unreadable, manifest.not_taken) == (1, [], {})


def test_what_an_earlier_version_left_out_changes_nothing(photographs, tmp_path):
    place = make_folder(tmp_path / "made", {"a/1.png": png(photographs[0]), "2": b"text"})
    dataset, path = images_dataset(place), tmp_path / "store/manifest.json"
    prepare(dataset, tmp_path / "store")
    path.write_text(path.read_text().replace("no image by its first bytes", "no image by its name"))
    (place / "2").write_bytes(png(photographs[1]))
    assert prepare(dataset, tmp_path / "store").count == 1


# Official layouts --------------------------------------------------------------------------------


@pytest.fixture
def afhq(photographs) -> Files:
    names = ["train/cat/c1.jpg", "train/cat/c2.jpg", "train/dog/d1.jpg", "val/cat/v1.jpg"]
    return {f"afhq/{n}": jpeg(p) for n, p in zip(names, photographs, strict=False)}


def known(name: str, path: Path, count: int | None) -> DatasetSpec:
    spec = {"source": None, "resolution": 16, "channels": 3, "filter": "bilinear"}
    asked = {**spec, "path": str(path), "count": count, "max_unreadable": 0}
    return resolve(name, asked, path.parent, f"datasets.{name}")


def test_a_class_of_afhq_is_found_in_the_archive_and_wherever_it_was_unpacked(afhq, tmp_path):
    make_folder(tmp_path / "unpacked", afhq)
    places = ["unpacked", "unpacked/afhq", "unpacked/afhq/train", "unpacked/afhq/train/cat"]
    archive = make_zip(tmp_path / "afhq.zip", afhq)
    for i, place in enumerate([archive, *(tmp_path / p for p in places)]):
        manifest = prepare(known("afhq_cat", place, 2), tmp_path / f"store{i}")
        assert manifest.names == ["c1.jpg", "c2.jpg"]
    assert prepare(known("afhq_dog", archive, 1), tmp_path / "dog").names == ["d1.jpg"]
    with pytest.raises(
        UserError, match=r"no images in a folder 'train/wild'; found images in: afhq/train/cat, "
    ):
        prepare(known("afhq_wild", archive, 1), tmp_path / "wild")


def test_metfaces_are_read_with_and_without_their_folder(photographs, tmp_path):
    faces = {f"{i}-00.png": png(p) for i, p in enumerate(photographs[:3])}
    whole = {f"metfaces/images/{n}": d for n, d in faces.items()}
    whole["metfaces/unprocessed/image-1.png"] = png(photographs[9])
    for i, files in enumerate([faces, whole]):
        archive = make_zip(tmp_path / f"{i}.zip", files)
        assert prepare(known("metfaces", archive, 3), tmp_path / str(i)).names == sorted(faces)


def test_fewer_images_than_the_paper_had_are_refused_at_once(afhq, tmp_path):
    archive = make_zip(tmp_path / "afhq.zip", afhq)
    with pytest.raises(
        UserError, match=r"holds 2 images, expected 5,153 for afhq_cat; .*\.count: 2"
    ):
        prepare(known("afhq_cat", archive, None), tmp_path / "store")
    assert not (tmp_path / "store").exists()


PAPER = ("celeba", "lsun_church", "afhq_cat", "afhq_dog", "afhq_wild", "metfaces")


def test_expected_numbers_are_the_papers():
    celeba, church, cat, dog, wild, metfaces, digits = (
        SOURCES[name].count for name in (*PAPER, "digits")
    )
    assert (celeba, church, metfaces, digits) == (202_599, 126_227, 1_336, 1_797)
    assert (cat, dog, wild) == (5_153, 4_739, 4_738)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_another_archive_than_the_published_one_is_refused(photographs, tmp_path, algorithm):
    files = {"img_align_celeba/1.jpg": jpeg(photographs[0])}
    archive = make_zip(tmp_path / "x.zip", files)

    def published(digest: str):
        digests = {"md5": "", "sha256": "", algorithm: digest}
        small = dataclasses.replace(SOURCES["celeba"], count=1, **digests)
        return mock.patch.dict(SOURCES, celeba=small)

    refusal = r"not the archive as published .*; .*unpack it and set datasets\.celeba\.path"
    with published("0" * 32), pytest.raises(UserError, match=refusal):
        prepare(known("celeba", archive, None), tmp_path / "store")
    # The way out that the message names.
    unpacked = make_folder(tmp_path / "unpacked", files)
    with published("0" * 32):
        assert prepare(known("celeba", unpacked, None), tmp_path / "other").count == 1
    with published(file_digest(archive, algorithm)):
        manifest = prepare(known("celeba", archive, None), tmp_path / "store")
    assert getattr(manifest.source, algorithm) == file_digest(archive, algorithm)


def test_every_archive_that_is_downloaded_has_a_published_digest():
    for name, source in SOURCES.items():
        assert not source.url or len(source.sha256) == 64, name


# Bad input ---------------------------------------------------------------------------------------


def refused(path: Path, tmp_path: Path, **settings) -> str:
    """The one line that preparing this ends with; nothing is left of it."""
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError) as caught:
        prepare(images_dataset(path, **settings), tmp_path / "store")
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before
    return str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_archive_is_refused(kinds, tmp_path, kind, part):
    whole = kinds[kind].read_bytes()
    cut = tmp_path / kinds[kind].name
    cut.write_bytes(whole[: int(part * len(whole))])
    assert "fetch it again" in refused(cut, tmp_path)


def cut_between_members(path: Path, files: Files) -> Path:
    make_tar(path, files)
    with tarfile.open(path) as archive:
        end = archive.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:end])
    return path


def cut_lmdb(path: Path, files: Files) -> Path:
    data = make_lmdb(path, files) / "data.mdb"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    return path


NO_LMDB, NO_ARCHIVE = {"data.mdb": b"nothing of that kind" * 999}, {"photo.jpg": b"nonsense" * 1000}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cut_between_members, "a tar whose end is missing"),
        (cut_lmdb, "bytes; fetch it again, whole"),
        (lambda path, _: make_folder(path, NO_LMDB), "is not a whole LMDB"),
        (
            lambda path, _: make_folder(path, NO_ARCHIVE) / "photo.jpg",
            "not a whole zip or tar arch",
        ),
        (lambda path, _: make_folder(path, {"x": b""}) / "x", "not a whole zip or tar archive"),
        (lambda path, _: path, "datasets.mine.path: there is no"),
        (lambda path, _: make_zip(path, {}), "holds no images"),
        (lambda path, _: make_tar(path, {}), "holds no images"),
        (lambda path, _: make_zip(path, {"a.txt": b"x"}), "holds no images"),
        (lambda path, _: make_folder(path, {"notes.md": b"x"}), "holds no images"),
    ],
)
def test_what_is_no_whole_archive_of_images_is_refused(photographs, tmp_path, make, message):
    files = {f"{i}.png": png(pixels) for i, pixels in enumerate(photographs)}
    assert message in refused(make(tmp_path / "made", files), tmp_path)


def test_unreadable_images_are_listed_and_left_out_where_allowed(photographs, tmp_path):
    good = {f"{i}.png": png(photographs[i]) for i in range(5)}
    whole, unknown = jpeg(photographs[0]), "no image, or of an unknown format"
    bad = {"cut.jpg": whole[: len(whole) // 2], "empty.jpg": b"", "text.png": b"I am no image"}
    prepare(images_dataset(make_folder(tmp_path / "good", good)), tmp_path / "expected")
    mixed, store = make_zip(tmp_path / "mixed.zip", bad | good), tmp_path / "store"
    with pytest.raises(UserError, match=r"3 images of mine cannot be read, .*max_unreadable: 3"):
        prepare(images_dataset(mixed, max_unreadable=2), store)
    listed = read_json(store / "unreadable.json")
    assert [entry["name"] for entry in listed] == sorted(bad)
    for entry, reason in zip(listed, ("Truncated File Read", unknown, unknown), strict=True):
        assert reason in entry["reason"]
    assert not (store / "manifest.json").exists()
    assert not (store / "images.npy").exists()
    # The refused run's work is not lost: nothing is decoded twice.
    manifest = prepare(images_dataset(mixed, max_unreadable=3), store)
    assert [entry.name for entry in manifest.unreadable] == sorted(bad)
    assert manifest.names == sorted(good)
    assert file_digest(tmp_path / "expected/images.npy") == file_digest(store / "images.npy")
    assert {p.name for p in store.iterdir()} == {"images.npy", "manifest.json"}


def test_a_data_set_of_unreadable_images_alone_is_none(tmp_path):
    place = make_folder(tmp_path / "images", {"1.png": b"x", "2.png": b"y"})
    with pytest.raises(UserError, match="not one image of mine can be read"):
        prepare(images_dataset(place, max_unreadable=2), tmp_path / "store")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_second_file_of_a_name_is_refused(photographs, tmp_path, make):
    first, second = map(png, photographs[:2])
    path = make(tmp_path / "twice", {"a/1.png": first})
    make(path, {"a/1.png": second}, mode="a")
    manifest = prepare(images_dataset(path, max_unreadable=1), tmp_path / "store")
    assert manifest.unreadable == [LeftOut(name="1.png", reason="a second file of this name")]
    images, _ = open_store(tmp_path / "store")
    assert np.array_equal(images[0], decode(first, 16, 3, FILTERS["bilinear"]))


def test_names_in_any_writing_can_be_stored_and_printed(photographs, tmp_path):
    place = make_folder(tmp_path / "images", {"猫.png": png(photographs[0])})
    (place / os.fsdecode(b"caf\xe9.png")).write_bytes(png(photographs[1]))
    manifest = prepare(images_dataset(place), tmp_path / "store")
    assert manifest.names == ["caf\\udce9.png", "猫.png"]
    done = fpa_ok("inspect", tmp_path / "store", cwd=tmp_path)
    assert "caf" in done.stdout


def test_damaged_and_unusual_zip_members_are_refused(photographs, tmp_path):
    path = make_zip(
        tmp_path / "a.zip", {"1.png": png(photographs[0]), "2.png": png(photographs[1])}
    )
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("3.png", png(photographs[2]))
    manifest = prepare(images_dataset(path, max_unreadable=2), tmp_path / "store")
    reasons = {entry.name: entry.reason for entry in manifest.unreadable}
    assert set(reasons) == {"1.png", "3.png"}
    assert "compression method 14" in reasons["3.png"]


def test_exact_duplicates_are_counted(photographs, tmp_path):
    a, b = photographs[:2]
    # The same pixels in another file are a duplicate image, not a duplicate file.
    files = {"1.png": png(a), "2.png": png(a), "3.bmp": encode(a, "BMP"), "4.png": png(b)}
    manifest = prepare(images_dataset(make_folder(tmp_path / "images", files)), tmp_path / "store")
    same = manifest.duplicates
    assert (same.files, same.images, same.groups) == (1, 2, [["1.png", "2.png", "3.bmp"]])


# Interruptions -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    """Images that take some seconds to decode, in three shares of work: the killed call must have saved one."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    data = png(noise)
    files = {f"{i:03d}.png": data for i in range(3 * CHUNK)}
    return make_zip(tmp_path_factory.mktemp("slow") / "slow.zip", files, zipfile.ZIP_STORED)


def processes_of(group: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_preparation_goes_on_where_it_was(slow, tmp_path, number):
    words = [*images_dataset(slow).as_words(), "--no-config"]
    command = [sys.executable, "-m", "fpa", "prepare", *words, "--out", "store", "--workers", "2"]
    notes = tmp_path / "store/unfinished/notes.jsonl"
    with started(*command, cwd=tmp_path) as process:
        deadline = time.monotonic() + HANGING
        while not notes.exists() or len(notes.read_text().splitlines()) < 2:
            assert process.poll() is None, "finished before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=HANGING)
        assert process.returncode != 0
        assert "Traceback" not in said
        while processes_of(process.pid):
            assert time.monotonic() < deadline, "a process was left behind"
            time.sleep(0.05)
    assert not (tmp_path / "store/manifest.json").exists()
    done = fpa_ok("prepare", *words, "--out", "store", cwd=tmp_path)
    assert "continuing after" in done.stderr
    images, manifest = open_store(tmp_path / "store")
    with zipfile.ZipFile(slow) as archive:
        expected = decode(archive.read("000.png"), 16, 3, FILTERS["bilinear"])
    assert manifest.duplicates.files == 3 * CHUNK - 1
    assert all(np.array_equal(image, expected) for image in images)


def test_work_on_another_version_of_the_source_is_not_gone_on_with(photographs, tmp_path):
    place = make_folder(tmp_path / "images", {"1.png": png(photographs[0]), "2.png": b"broken"})
    with pytest.raises(UserError, match="1 images of mine cannot be read"):
        prepare(images_dataset(place), tmp_path / "store")
    (place / "2.png").write_bytes(png(photographs[1]))
    manifest = prepare(images_dataset(place), tmp_path / "store")
    assert manifest.count == 2
    assert not (tmp_path / "store/unreadable.json").exists()
