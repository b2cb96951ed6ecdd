"""Bundles, archives and images made to do harm: refused in one line or counted as unreadable."""

import gzip
import hashlib
import inspect
import io
import json
import os
import re
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import lmdb
import made_up
import numpy as np
import pytest
from conftest import fpa, images_dataset, jpeg, png
from hostile import contained
from PIL import EpsImagePlugin, Image

from fpa.core.errors import UserError
from fpa.data.prepare import prepare
from fpa.evaluation.image_sets import open_images
from fpa.reporting import bundle as bundles
from fpa.reporting.bundle import pack, unpack

BLOCK = tarfile.BLOCKSIZE
PNG = png(np.full((20, 20, 3), 99, np.uint8))


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A tar's header, with any size, also one that no file has."""
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, link
    block = bytearray(about.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (
        b"%011o\0" % size
        if 0 <= size < 8**11
        else b"\x80" + size.to_bytes(11, "big")
        if size >= 0
        else b"\xff" + (256**11 + size).to_bytes(11, "big")
    )
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: str, data: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % BLOCK)


def sparse(name: str, size: int) -> bytes:
    """A file of so many zeros in one block, as GNU tar packs it."""
    block = bytearray(header(name, 0, tarfile.GNUTYPE_SPARSE))
    block[483:495] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def zeros(count: int) -> bytes:
    """Gzip members that unpack to so many megabytes of zeros."""
    return gzip.compress(bytes(1 << 20)) * count


# Bundles -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> dict[str, bytes]:
    """The files of a bundle of made-up results, the manifest first."""
    place = tmp_path_factory.mktemp("honest")
    about, _, folder = made_up.fill(place / "made", made_up.experiment(models=("dcgan",)))
    for run in about.runs:
        for name in ("run.json", "cost.json"):
            (folder / run.folder / name).write_text("{}\n")
    pack(folder, place / "bundle.tar.gz")
    with tarfile.open(place / "bundle.tar.gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def history(files: dict[str, bytes]) -> str:
    return next(name for name in files if name.endswith("history.csv"))


def manifest(files: dict[str, bytes], name: str = "", **about) -> bytes:
    """The manifest, with something else about one file."""
    whole = json.loads(files["manifest.json"])
    if name:
        whole["files"][name] = {**whole["files"].get(name, {"sha256": "0" * 64}), **about}
    return json.dumps(whole).encode()


def changed(files: dict[str, bytes], /, **about) -> dict[str, bytes]:
    """The files, with a manifest that says something else."""
    whole = {**json.loads(files["manifest.json"]), **about}
    return {**files, "manifest.json": json.dumps(whole).encode()}


def described(files: dict[str, bytes], text: bytes) -> bytes:
    """Another description, of which the manifest has the right digest."""
    about = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    whole = manifest(files, "experiment.json", **about)
    return packed({**files, "manifest.json": whole, "experiment.json": text})


def packed(files: dict[str, bytes], **changed: bytes) -> bytes:
    """A tar of the files; in `changed`, what stands in it instead of one, as it is."""
    parts = [changed.get(name, member(name, data)) for name, data in files.items()]
    return gzip.compress(b"".join([*parts, bytes(2 * BLOCK)]), 1)


def instead(files: dict[str, bytes], block: bytes) -> bytes:
    """The history's member replaced by something else."""
    return packed(files, **{history(files): block})


def renamed(files: dict[str, bytes], name: str) -> bytes:
    whole = json.loads(files["manifest.json"])
    whole["files"][name] = whole["files"].pop(history(files))
    found = {name if key == history(files) else key: data for key, data in files.items()}
    return packed({**found, "manifest.json": json.dumps(whole).encode()})


def climbing(files: dict[str, bytes]) -> bytes:
    """The description asks for files outside of `runs/` by the name of its data set."""
    runs = {name: data for name, data in files.items() if name.startswith("runs/")}
    text = files["experiment.json"].replace(b'"digits"', b'".."')
    text = text.replace(b"runs/digits/", b"runs/../")
    whole = json.loads(files["manifest.json"])
    about = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    moved = {name.replace("runs/digits/", "runs/../"): data for name, data in runs.items()}
    listed = {name.replace("runs/digits/", "runs/../"): f for name, f in whole["files"].items()}
    whole["files"] = {**listed, "experiment.json": about}
    return packed({"manifest.json": json.dumps(whole).encode(), "experiment.json": text, **moved})


BUNDLES: dict[str, tuple[Callable[[dict[str, bytes]], bytes], str]] = {
    "a name that climbs": (lambda f: renamed(f, "../canary"), "not a file of its exp"),
    "a name that climbs from a run": (
        lambda f: renamed(f, "runs/../../canary"),
        "not a file of its exp",
    ),
    "an absolute name": (lambda f: renamed(f, "/tmp/canary"), "not a file of its exp"),
    "a name of two lines": (lambda f: renamed(f, "runs/a\nb.csv"), "not a file of its exp"),
    "a name that moves the cursor": (lambda f: renamed(f, "a\x1b[2J"), "not a file of its exp"),
    "a name that turns the writing": (lambda f: renamed(f, "a\u202eb"), "not a file of its exp"),
    "a description of a data set that climbs": (climbing, "is not one of this version"),
    "a module": (lambda f: renamed(f, "fpa/core/errors.py"), "not a file of its experiment"),
    "a module beside a run": (lambda f: renamed(f, history(f) + ".py"), "not a file of its exp"),
    "the name of the tables": (lambda f: renamed(f, "tables/fid.csv"), "not a file of its exp"),
    "a symbolic link": (
        lambda f: instead(f, header(history(f), 0, tarfile.SYMTYPE, "../../../canary")),
        "is not the file",
    ),
    "a hard link": (
        lambda f: instead(f, header(history(f), 0, tarfile.LNKTYPE, "experiment.json")),
        "is not the file",
    ),
    "a device": (lambda f: instead(f, header(history(f), 0, tarfile.CHRTYPE)), "is not the file"),
    "a pipe": (lambda f: instead(f, header(history(f), 0, tarfile.FIFOTYPE)), "is not the file"),
    "a folder": (lambda f: instead(f, header(history(f), 0, tarfile.DIRTYPE)), "is not the file"),
    "a sparse terabyte": (lambda f: instead(f, sparse(history(f), 1 << 40)), "is not the file"),
    "a file that comes twice": (
        lambda f: instead(f, 2 * member(history(f), f[history(f)])),
        "does not name",
    ),
    "a file under two writings of its name": (
        lambda f: renamed(f, f"runs/.{history(f)[4:]}"),
        "not a file of its exp",
    ),
    "another digest": (
        lambda f: instead(f, member(history(f), bytes(len(f[history(f)])))),
        "has SHA-256",
    ),
    "a file of another size": (
        lambda f: instead(f, member(history(f), f[history(f)] + b"?")),
        "not the file that its manifest",
    ),
    "a file that is not there": (lambda f: instead(f, b""), "lacks 1 files"),
    "a file that nobody named": (
        lambda f: packed({**f, "extra.txt": b"x"}),
        "which its manifest.json does not name",
    ),
    "a newer bundle": (
        lambda f: packed(changed(f, format=bundles.FORMAT + 1, fpa="9.9")),
        "made by version 9.9; ",
    ),
    "an older bundle": (
        lambda f: packed(changed(f, format=1, fpa="0.1.0")),
        "format 1, made by version 0.1.0; this version .* reads format 2: unpack it with the "
        "version that made it, or make the bundle again with this one$",
    ),
    "no manifest": (lambda f: packed({"a": b"x"}), "is not a bundle"),
    "a manifest that is cut": (lambda f: packed({**f, "manifest.json": b"{"}), "not valid JSON"),
    "a manifest of a list": (
        lambda f: packed({**f, "manifest.json": b"[]"}),
        "bundle format None, made by an unknown version",
    ),
    "a manifest of no files": (lambda f: packed(changed(f, files=3)), "does not list files"),
    "no description": (
        lambda f: packed({name: f[name] for name in f if name != "experiment.json"}),
        "has no experiment.json after its manifest.json",
    ),
    "another description": (lambda f: packed({**f, "experiment.json": b"{}"}), "has SHA-256"),
    "an empty description": (lambda f: described(f, b"{}"), "not one of this version"),
    "a manifest of a terabyte of zeros": (
        lambda f: gzip.compress(header("manifest.json", 1 << 40) + bytes(1 << 20)),
        "more than any bundle's",
    ),
    "a manifest of a petabyte": (
        lambda f: packed({**f, "manifest.json": manifest(f, history(f), bytes=1 << 50)}),
        "unpacks to more than",
    ),
    "a manifest of less than nothing": (
        lambda f: packed({**f, "manifest.json": manifest(f, history(f), bytes=-1)}),
        "does not list files",
    ),
    "a manifest whose size is true": (
        lambda f: packed({**f, "manifest.json": manifest(f, history(f), bytes=True)}),
        "does not list files",
    ),
    "a manifest of brackets": (
        lambda f: packed({**f, "manifest.json": b"[" * 1_000_000}),
        "not valid JSON",
    ),
    "a manifest of a number without end": (
        lambda f: packed({**f, "manifest.json": b"9" * 100_000}),
        "not valid JSON",
    ),
    "a description of brackets": (
        lambda f: described(f, b"[" * 100_000),
        "experiment.json is not one of this version",
    ),
    "a description with a run elsewhere": (
        lambda f: described(f, f["experiment.json"].replace(b'"runs/digits', b'"fpa/digits')),
        "has a run in 'fpa/digits",
    ),
    "a description of another shape": (
        lambda f: described(f, b'{"config": {"seeds": [0]}, "runs": 3}'),
        "experiment.json is not one of this version",
    ),
    "a member of less than nothing": (
        lambda f: instead(f, header(history(f), -2 * BLOCK)),
        "negative size",
    ),
    "a member that leads back to itself": (
        lambda f: instead(f, header(history(f), -BLOCK)),
        "negative size",
    ),
    "an extended header of a terabyte": (
        lambda f: instead(f, header("x", 1 << 40, tarfile.XHDTYPE)),
        "has a header of 1,099,511,627,776 bytes",
    ),
    "a long name of gigabytes": (
        lambda f: instead(f, header("x", 1 << 32, tarfile.GNUTYPE_LONGNAME)),
        "has a header of",
    ),
    "extended headers one behind the other": (
        lambda f: instead(f, 3_000 * member("x", b"11 path=abc\n", tarfile.XHDTYPE)),
        "is damaged or not a bundle",
    ),
    "a bomb of zeros": (
        lambda f: (
            packed({"manifest.json": f["manifest.json"]})[:0]
            + gzip.compress(header("manifest.json", 1 << 20))
            + zeros(300)
        ),
        "not valid JSON",
    ),
    "a bomb behind the description": (
        lambda f: (
            gzip.compress(
                member("manifest.json", manifest(f, history(f), bytes=200 << 20))
                + member("experiment.json", f["experiment.json"])
                + header(history(f), 200 << 20)
            )
            + zeros(200)
        ),
        "unpacks to more than",
    ),
    "a bomb that is no tar": (lambda f: zeros(300), "is not a bundle"),
    "nothing": (lambda f: b"", "damaged or not a bundle"),
    "noise": (lambda f: os.urandom(4096), "damaged or not a bundle"),
    "a stream that ends early": (lambda f: packed(f)[:3000], "damaged or not a bundle"),
}


@pytest.mark.parametrize("kind", BUNDLES)
def test_a_hostile_bundle(kind, honest, tmp_path):
    make, message = BUNDLES[kind]
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(make(honest))
    with contained(tmp_path, tmp_path / "in"), pytest.raises(UserError, match=message) as refused:
        unpack(path, tmp_path / "in" / "here")
    assert len(str(refused.value).splitlines()) == 1
    assert not [path for path in (tmp_path / "in").rglob("*") if path.is_file()]


def test_the_bundle_that_the_hostile_ones_are_made_from_is_restored(honest, tmp_path):
    (tmp_path / "bundle.tar.gz").write_bytes(packed(honest))
    unpack(tmp_path / "bundle.tar.gz", tmp_path / "in")
    found = {str(p.relative_to(tmp_path / "in")) for p in (tmp_path / "in").rglob("*.*")}
    assert {name for name in honest if name != "manifest.json"} <= found


def test_names_that_differ_in_case_alone_do_not_replace_one_another(honest, tmp_path, monkeypatch):
    """On a disk that does not tell case apart: played by two names of one file."""
    (tmp_path / "bundle.tar.gz").write_bytes(packed(honest))
    make = bundles.tempfile.TemporaryDirectory

    def with_one_file_of_two_names(**options):
        made = make(**options)
        first = Path(made.name) / history(honest)
        first.parent.mkdir(parents=True)
        first.touch()
        first.with_name("run.json").hardlink_to(first)
        return made

    monkeypatch.setattr(bundles.tempfile, "TemporaryDirectory", with_one_file_of_two_names)
    with pytest.raises(UserError, match="has SHA-256"):
        bundles.unpack(tmp_path / "bundle.tar.gz", tmp_path / "in")
    assert not [path for path in (tmp_path / "in").rglob("*") if path.is_file()]


# Archives of images ------------------------------------------------------------------------------


def tar(*parts: bytes) -> bytes:
    return b"".join([*parts, bytes(2 * BLOCK)])


def zipped(name: str, data: bytes, **about) -> bytes:
    """A zip of an image and of a member about which the zip says something else; of an LMDB alone."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if name != "data.mdb":
            archive.writestr("1.png", PNG)
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, data)
        for key, value in about.items():
            setattr(info, key, value)
    return file.getvalue()


def encrypted(name: str) -> bytes:
    """A zip whose member claims to be encrypted."""
    data = bytearray(zipped(name, b"secret"))
    for magic, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.rindex(magic) + place] |= 1
    return bytes(data)


def database(place: int, page: int) -> bytes:
    """An LMDB whose header has another page number at a place, in both of its copies."""
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=1 << 20) as environment, environment.begin(write=True) as t:
            t.put(b"1", PNG)
        data = bytearray((Path(folder) / "data.mdb").read_bytes())
    for start in (0, 4096):
        data[start + place : start + place + 8] = struct.pack("<Q", page)
    return bytes(data)


ARCHIVES: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "a zip's name that climbs": (lambda: zipped("../canary.png", PNG), "leads out of the archive"),
    "a zip's absolute name": (lambda: zipped("/tmp/canary.png", PNG), "leads out of the archive"),
    "a zip's symbolic link": (
        lambda: zipped("2.png", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16),
        "symbolic link",
    ),
    "a zip's member of 4 GB": (
        lambda: zipped("2.png", PNG, file_size=(1 << 32) - 2),
        "too many for an image",
    ),
    "a zip's member of 4 packed GB": (
        lambda: zipped("2.png", PNG, compress_size=(1 << 32) - 2),
        "too many for an image",
    ),
    "a zip's member that grows": (
        lambda: zipped("2.png", bytes(100 << 20), file_size=len(PNG)),
        "bytes in the zip are damaged",
    ),
    "a zip's member behind its end": (
        lambda: zipped("2.png", PNG, header_offset=1 << 30),
        "place in the zip is damaged",
    ),
    "a zip's member within another": (
        lambda: zipped("2.png", PNG, header_offset=7),
        "place in the zip is damaged",
    ),
    "a zip's encrypted member": (lambda: encrypted("2.png"), "encrypted"),
    "a zip's name of two lines": (lambda: zipped("2\nb.png", b"x"), "unknown format"),
    "a zip with an LMDB that is a bomb": (
        lambda: zipped("data.mdb", bytes(100 << 20)),
        "unpacks to more than 100 times",
    ),
    "a zip with an encrypted LMDB": (lambda: encrypted("data.mdb"), "cannot be unpacked"),
    "a zip with an LMDB of noise": (
        lambda: zipped("data.mdb", os.urandom(9999)),
        "not a whole LMDB",
    ),
    "a tar's name that climbs": (tar(member("../canary.png", PNG)), "leads out of the archive"),
    "a tar's absolute name": (tar(member("/tmp/canary.png", PNG)), "leads out of the archive"),
    "a tar's symbolic link": (tar(header("2.png", 0, tarfile.SYMTYPE, "/etc/passwd")), "link"),
    "a tar's hard link": (
        tar(member("1.png", PNG), header("2.png", 0, tarfile.LNKTYPE, "1.png")),
        "link",
    ),
    "a tar's device": (tar(header("2.png", 0, tarfile.CHRTYPE)), "not an ordinary file"),
    "a tar's pipe": (tar(header("2.png", 0, tarfile.FIFOTYPE)), "not an ordinary file"),
    "a tar's sparse terabyte": (tar(sparse("2.png", 1 << 40)), "not an ordinary file"),
    "a tar's member of a terabyte": (tar(header("2.png", 1 << 40)), "not a whole zip or tar"),
    "a tar's member of less than nothing": (tar(header("2.png", -BLOCK)), "negative size"),
    "a tar's extended header of a terabyte": (
        tar(header("x", 1 << 40, tarfile.XHDTYPE)),
        "has a header of",
    ),
    "a tar's extended headers without end": (
        tar(3_000 * member("x", b"11 path=abc\n", tarfile.XHDTYPE)),
        "not a whole zip or tar",
    ),
    "a tar with an LMDB that links to itself": (
        tar(header("data.mdb", 0, tarfile.LNKTYPE, "data.mdb")),
        "not an ordinary file",
    ),
    "a tar with an LMDB that links elsewhere": (
        tar(header("data.mdb", 0, tarfile.SYMTYPE, "/etc/passwd")),
        "not an ordinary file",
    ),
    "a tar.gz of zeros": (lambda: zeros(300), "not a whole zip or tar|more than 100 times"),
    "a tar.gz with a header of a gigabyte": (
        lambda: gzip.compress(header("x", 1 << 30, tarfile.XHDTYPE)) + zeros(100),
        "has a header of|more than 100 times",
    ),
    "an LMDB of a petabyte": (
        lambda: tar(member("data.mdb", database(136, 1 << 38))),
        "not a whole LMDB|bytes; fetch",
    ),
    "an LMDB without most of its pages": (
        lambda: tar(member("data.mdb", database(136, 1 << 14))),
        "bytes; fetch it again, whole",
    ),
    "an LMDB that begins behind its end": (
        lambda: tar(member("data.mdb", database(128, 1 << 38))),
        "damaged LMDB",
    ),
}


def lines_of(tmp_path: Path, archive: bytes, name: str = "archive") -> str:
    """What is wrong with an archive: the refusal, or why its members were not read."""
    place, into = tmp_path / "place", tmp_path / "store"
    place.mkdir(exist_ok=True)
    (place / name).write_bytes(archive)
    with contained(tmp_path, into), pytest.raises(UserError) as refused:
        prepare(images_dataset(place / name), into, workers=1)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    listed = into / "unreadable.json"
    if listed.exists():
        entries = json.loads(listed.read_text())
        assert all(entry["name"].isprintable() for entry in entries)
        return " ".join(entry["reason"] for entry in entries)
    return message


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_hostile_archive(kind, tmp_path):
    make, message = ARCHIVES[kind]
    assert re.search(message, lines_of(tmp_path, make() if callable(make) else make))


def test_a_hostile_folder(tmp_path):
    deep = tmp_path / "deep"
    inner = deep.joinpath(*["d"] * 300)
    inner.mkdir(parents=True)
    (inner / "1.png").write_bytes(PNG)
    os.mkfifo(deep / "2.png")
    (deep / "3.png").symlink_to("/dev/zero")
    limit = sys.getrecursionlimit()
    # Folders of this depth can be tidied up after the test, and are deeper than Python may go here.
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    try:
        manifest = prepare(images_dataset(deep, max_unreadable=2), tmp_path / "store", workers=1)
    finally:
        sys.setrecursionlimit(limit)
    assert manifest.count == 1
    assert [entry.reason.split(";")[0] for entry in manifest.unreadable] == [
        "not an ordinary file",
        "symbolic link",
    ]


def test_names_of_files_can_neither_move_a_terminals_cursor_nor_forge_a_line(tmp_path):
    place = tmp_path / "images"
    place.mkdir()
    for name in ("1\x1b[2J.png", "2\nfpa prepare: all is well.png", "3\u202egnp.png"):
        (place / name).write_bytes(b"no image")
    words = ("prepare", "mine", "source=folder", f"path={place}", "resolution=16", "--no-config")
    done = fpa(*words, "--out", "store", cwd=tmp_path)
    assert done.returncode == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stderr)
    lines = done.stderr.splitlines()
    assert len([line for line in lines if "cannot read" in line]) == 3
    assert not [line for line in lines if line.startswith("fpa prepare: all is well")]
    assert "2\\nfpa prepare: all is well.png" in done.stderr


# Images ------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(wide: int, high: int, *chunks: bytes) -> bytes:
    """A PNG that says to be of this size, whatever is in it."""
    about = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + b"".join(chunks) + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A little-endian TIFF of one directory; entries of (tag, type, count, value)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following)


SQUARE = [(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n(canary) (w) file\n"

IMAGES: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "a cut PNG": (PNG[: len(PNG) // 2], "unrecognized|truncated|broken|[Tt]runcated|cannot"),
    "a PNG of 0 x 0": (png_of(0, 0), ""),
    "a PNG of 100,000 x 100,000": (png_of(100_000, 100_000), "decompression bomb"),
    "a PNG of 2^31 x 1": (png_of(2**31 - 1, 1), ""),
    "a PNG of a million x 1": (
        lambda: png(np.zeros((1, 1_000_000, 3), np.uint8)),
        "too long for its width",
    ),
    "a PNG without pixels": (png_of(20, 20), ""),
    "a PNG whose pixels are noise": (png_of(20, 20, chunk(b"IDAT", b"noise")), ""),
    "a PNG with a text of a gigabyte": (
        lambda: png_of(20, 20, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 28), 9))),
        "",
    ),
    "a PNG with a profile that is a bomb": (
        lambda: png_of(20, 20, chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(1 << 28), 9))),
        "",
    ),
    "a PNG with a wrong checksum": (PNG[:40] + b"????" + PNG[44:], ""),
    "a TIFF of 60,000 x 60,000": (tiff(SQUARE), ""),
    "a TIFF that leads back to itself": (tiff(SQUARE[:2], 8), ""),
    "a TIFF with a billion values": (tiff([(273, 4, 1 << 30, 8), *SQUARE]), ""),
    "a TIFF of floats": (
        lambda: saved(Image.fromarray(np.ones((20, 20), np.float32)), "TIFF"),
        "no known white",
    ),
    "a cut GIF": (
        lambda: saved(Image.fromarray(np.zeros((20, 20), np.uint8)), "GIF")[:-20],
        "",
    ),
    "a GIF of 65,535 x 65,535": (b"GIF89a\xff\xff\xff\xff\x00\x00\x00;", ""),
    "a GIF without frames": (b"GIF89a\x10\x00\x10\x00\x00\x00\x00;", ""),
    "a BMP that points behind its end": (
        b"BM"
        + struct.pack("<IHHI", 70, 0, 0, 1 << 30)
        + struct.pack("<IiiHHIIiiII", *(40, 20, 20, 1, 24, 0, 0, 0, 0, 0, 0)),
        "",
    ),
    "a PPM of 99,999 x 99,999": (b"P6 99999 99999 255\n" + bytes(99), "decompression bomb"),
    "a PPM with a number without end": (b"P6 " + b"9" * 5_000, ""),
    "an EPS, which would be drawn by a program": (EPS, "unknown format"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "unknown format"),
    "a web page": (b"<html><script>alert(1)</script></html>", "unknown format"),
    "a program": (b"\x7fELF" + bytes(99), "unknown format"),
    "a pickle": (b"cos\nsystem\n(S'touch canary'\ntR.", "unknown format"),
    "a cut WebP": (lambda: saved(Image.new("RGB", (20, 20)), "WEBP")[:30], ""),
    "a cut JPEG": (lambda: jpeg(np.zeros((20, 20, 3), np.uint8))[:300], ""),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_hostile_image(kind, tmp_path, monkeypatch):
    """Counted as unreadable; the image beside it is read."""
    make, message = IMAGES[kind]
    canary = tmp_path / "canary"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!{sys.executable}\nopen({str(canary)!r}, 'w')\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    place = tmp_path / "place"
    place.mkdir()
    (place / "1.png").write_bytes(PNG)
    (place / "2.png").write_bytes(make() if callable(make) else make)
    with contained(tmp_path, tmp_path / "store"):
        manifest = prepare(images_dataset(place, max_unreadable=1), tmp_path / "store", workers=1)
    (entry,) = manifest.unreadable
    assert manifest.names == ["1.png"]
    assert re.search(message, entry.reason)
    assert "MemoryError" not in entry.reason
    assert len(entry.reason.splitlines()) == 1
    # Scores open images in the same way.
    with contained(tmp_path, tmp_path / "store"), pytest.raises(UserError) as caught:
        open_images(place)[:]
    assert re.search(message, str(caught.value)) or "bring all images to one size" in str(
        caught.value
    )
    assert len(str(caught.value).splitlines()) == 1


def grey() -> Image.Image:
    return Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 150)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(np.tile(np.arange(20, dtype=np.uint8), (20, 1))), "PNG", exif=exif)


ODD: dict[str, Callable[[], bytes]] = {
    "16 bits a pixel": lambda: saved(grey(), "PNG"),
    "four colours of ink": lambda: saved(Image.new("CMYK", (20, 20), (9, 99, 0, 0)), "JPEG"),
    "a turned photograph": turned,
    "an image that is a zip as well": lambda: PNG + zipped("x.py", b"import os"),
    "an image that is a web page as well": lambda: PNG + b"<script>alert(1)</script>",
    "an image with a text of markup": lambda: png_of(
        1,
        1,
        chunk(b"tEXt", b"Title\0<script>alert(1)</script>"),
        chunk(b"IDAT", zlib.compress(bytes(4))),
    ),
    "an animation of a hundred frames": lambda: saved(
        Image.new("P", (20, 20)),
        "GIF",
        save_all=True,
        append_images=[Image.new("P", (20, 20), i) for i in range(99)],
    ),
    "transparent pixels": lambda: saved(Image.new("RGBA", (20, 20), (9, 9, 9, 0)), "PNG"),
    "a palette of one colour": lambda: saved(Image.new("P", (20, 20)), "PNG"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_image_is_read_as_its_pixels(kind, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "1.png").write_bytes(ODD[kind]())
    with contained(tmp_path, tmp_path / "store"):
        manifest = prepare(images_dataset(place), tmp_path / "store", workers=1)
    assert manifest.count == 1
