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
from typing import Any

import lmdb
import made_up
import numpy as np
import pytest
from conftest import fpa, images_dataset, png
from hostile import chunk, contained
from PIL import EpsImagePlugin, Image

from fpa.core.errors import UserError
from fpa.data.prepare import prepare
from fpa.evaluation.image_sets import open_images
from fpa.reporting import bundle as bundles
from fpa.reporting.bundle import pack, unpack

Files = dict[str, bytes]
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
def honest(tmp_path_factory) -> Files:
    """The files of a bundle of made-up results, the manifest first."""
    place = tmp_path_factory.mktemp("honest")
    about, _, folder = made_up.fill(place / "made", made_up.experiment(models=("dcgan",)))
    for run in about.runs:
        for name in ("run.json", "cost.json"):
            (folder / run.folder / name).write_text("{}\n")
    pack(folder, place / "bundle.tar.gz")
    with tarfile.open(place / "bundle.tar.gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def history(files: Files) -> str:
    return next(name for name in files if name.endswith("history.csv"))


def manifest(files: Files, name: str = "", **about) -> bytes:
    """The manifest, with something else about one file."""
    whole = json.loads(files["manifest.json"])
    if name:
        whole["files"][name] = {**whole["files"].get(name, {"sha256": "0" * 64}), **about}
    return json.dumps(whole).encode()


def changed(files: Files, /, **about) -> Files:
    """The files, with a manifest that says something else."""
    whole = {**json.loads(files["manifest.json"]), **about}
    return {**files, "manifest.json": json.dumps(whole).encode()}


def described(files: Files, text: bytes) -> bytes:
    """Another description, of which the manifest has the right digest."""
    about = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    whole = manifest(files, "experiment.json", **about)
    return packed({**files, "manifest.json": whole, "experiment.json": text})


def packed(files: Files, **changed: bytes) -> bytes:
    """A tar of the files; in `changed`, what stands in it instead of one, as it is."""
    parts = [changed.get(name, member(name, data)) for name, data in files.items()]
    return gzip.compress(b"".join([*parts, bytes(2 * BLOCK)]), 1)


def instead(files: Files, block: bytes) -> bytes:
    """The history's member replaced by something else."""
    return packed(files, **{history(files): block})


def renamed(files: Files, name: str) -> bytes:
    path = history(files)
    name = name.encode().decode("unicode_escape").format(h=path, tail=path.removeprefix("runs/"))
    whole = json.loads(files["manifest.json"])
    whole["files"][name] = whole["files"].pop(history(files))
    found = {name if key == history(files) else key: data for key, data in files.items()}
    return packed({**found, "manifest.json": json.dumps(whole).encode()})


def climbing(files: Files) -> bytes:
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


def with_manifest(text: bytes) -> Callable[[Files], bytes]:
    return lambda f: packed({**f, "manifest.json": text})


def with_size(size: Any) -> Callable[[Files], bytes]:
    """A manifest that says this of the bytes of the history."""
    return lambda f: packed({**f, "manifest.json": manifest(f, history(f), bytes=size)})


def with_header(*about: Any) -> Callable[[Files], bytes]:
    """Such a header in the place of the history's."""
    return lambda f: instead(f, header(history(f), *about))


# In the place of the history: its whole path is {h}, that behind runs/ {tail}.
NAMES = r"""
../canary
runs/../../canary
/tmp/canary
runs/a\nb.csv
a\x1b[2J
a\u202eb
fpa/core/errors.py
{h}.py
tables/fid.csv
runs/./{tail}
""".strip().splitlines()
EXTENDED = 3_000 * member("x", b"11 path=abc\n", tarfile.XHDTYPE)
FOREIGN = b'{"config": {"seeds": [0]}, "runs": 3}'
NEWER, OLDER = {"format": bundles.FORMAT + 1, "fpa": "9.9"}, {"format": 1, "fpa": "0.1.0"}
OLD = "format 1, made by version 0.1.0; this version .* reads format 2: unpack it with the version"


def bomb(f: Files) -> bytes:
    """Behind the description comes more than any file of a bundle."""
    about = member("manifest.json", manifest(f, history(f), bytes=200 << 20))
    about += member("experiment.json", f["experiment.json"]) + header(history(f), 200 << 20)
    return gzip.compress(about) + zeros(200)


BUNDLES: list[tuple[str, Callable[[Files], bytes]]] = [
    *(("not a file of its exp", lambda f, name=name: renamed(f, name)) for name in NAMES),
    ("is not one of this version", climbing),
    ("is not the file", with_header(0, tarfile.SYMTYPE, "../../../canary")),
    ("is not the file", with_header(0, tarfile.LNKTYPE, "experiment.json")),
    *(
        ("is not the file", with_header(0, getattr(tarfile, f"{kind}TYPE")))
        for kind in ("CHR", "FIFO", "DIR")
    ),
    ("is not the file", lambda f: instead(f, sparse(history(f), 1 << 40))),
    ("does not name", lambda f: instead(f, 2 * member(history(f), f[history(f)]))),
    ("has SHA-256", lambda f: instead(f, member(history(f), bytes(len(f[history(f)]))))),
    (
        "not the file that its manifest",
        lambda f: instead(f, member(history(f), f[history(f)] + b"?")),
    ),
    ("lacks 1 files", lambda f: instead(f, b"")),
    ("which its manifest.json does not name", lambda f: packed({**f, "extra.txt": b"x"})),
    ("made by version 9.9; ", lambda f: packed(changed(f, **NEWER))),
    (OLD, lambda f: packed(changed(f, **OLDER))),
    ("is not a bundle", lambda f: packed({"a": b"x"})),
    ("not valid JSON", with_manifest(b"{")),
    ("bundle format None, made by an unknown version", with_manifest(b"[]")),
    ("does not list files", lambda f: packed(changed(f, files=3))),
    (
        "has no experiment.json after",
        lambda f: packed({k: f[k] for k in f if k != "experiment.json"}),
    ),
    ("has SHA-256", lambda f: packed({**f, "experiment.json": b"{}"})),
    ("not one of this version", lambda f: described(f, b"{}")),
    (
        "more than any bundle's",
        lambda f: gzip.compress(header("manifest.json", 1 << 40) + bytes(1 << 20)),
    ),
    ("unpacks to more than", with_size(1 << 50)),
    ("does not list files", with_size(-1)),
    ("does not list files", with_size(True)),
    ("not valid JSON", with_manifest(b"[" * 1_000_000)),
    ("not valid JSON", with_manifest(b"9" * 100_000)),
    ("experiment.json is not one of this version", lambda f: described(f, b"[" * 100_000)),
    (
        "has a run in 'fpa/digits",
        lambda f: described(f, f["experiment.json"].replace(b'"runs/digits', b'"fpa/digits')),
    ),
    ("experiment.json is not one of this version", lambda f: described(f, FOREIGN)),
    ("negative size", with_header(-2 * BLOCK)),
    ("negative size", with_header(-BLOCK)),
    (
        "has a header of 1,099,511,627,776 bytes",
        lambda f: instead(f, header("x", 1 << 40, tarfile.XHDTYPE)),
    ),
    ("has a header of", lambda f: instead(f, header("x", 1 << 32, tarfile.GNUTYPE_LONGNAME))),
    # Python 3.11.2 takes such a header for the archive's end.
    ("is damaged or not a bundle|lacks 8 files", lambda f: instead(f, EXTENDED)),
    ("not valid JSON", lambda f: gzip.compress(header("manifest.json", 1 << 20)) + zeros(300)),
    ("unpacks to more than", bomb),
    ("is not a bundle", lambda f: zeros(300)),
    ("damaged or not a bundle", lambda f: b""),
    ("damaged or not a bundle", lambda f: os.urandom(4096)),
    ("damaged or not a bundle", lambda f: packed(f)[:3000]),
]
"""What is said, and what makes a bundle of the files of an honest one."""


@pytest.mark.parametrize(("message", "make"), BUNDLES)
def test_a_hostile_bundle(message, make, honest, tmp_path):
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(make(honest))
    with contained(tmp_path, tmp_path / "in"), pytest.raises(UserError, match=message) as refused:
        unpack(path, tmp_path / "in" / "here")
    assert len(str(refused.value).splitlines()) == 1
    assert not [path for path in (tmp_path / "in").rglob("*") if path.is_file()]


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


def zip_of(name: str = "2.png", data: bytes = PNG, **about) -> Callable[[], bytes]:
    return lambda: zipped(name, data, **about)


def tar_of(*parts: bytes) -> Callable[[], bytes]:
    return lambda: tar(*parts)


def lmdb_of(place: int, page: int) -> Callable[[], bytes]:
    return lambda: tar(member("data.mdb", database(place, page)))


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
ARCHIVES: list[tuple[str, Callable[[], bytes]]] = [
    ("leads out of the archive", zip_of("../canary.png")),
    ("leads out of the archive", zip_of("/tmp/canary.png")),
    ("symbolic link", zip_of(data=b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16)),
    ("too many for an image", zip_of(file_size=(1 << 32) - 2)),
    ("too many for an image", zip_of(compress_size=(1 << 32) - 2)),
    ("bytes in the zip are damaged", zip_of(data=bytes(100 << 20), file_size=len(PNG))),
    ("place in the zip is damaged", zip_of(header_offset=1 << 30)),
    ("place in the zip is damaged", zip_of(header_offset=7)),
    ("encrypted", lambda: encrypted("2.png")),
    ("unknown format", zip_of("2\nb.png", b"x")),
    ("unpacks to more than 100 times", zip_of("data.mdb", bytes(100 << 20))),
    ("cannot be unpacked", lambda: encrypted("data.mdb")),
    ("not a whole LMDB", zip_of("data.mdb", os.urandom(9999))),
    ("leads out of the archive", tar_of(member("../canary.png", PNG))),
    ("leads out of the archive", tar_of(member("/tmp/canary.png", PNG))),
    ("link", tar_of(header("2.png", 0, LINK, "/etc/passwd"))),
    ("link", tar_of(member("1.png", PNG), header("2.png", 0, HARD, "1.png"))),
    ("not an ordinary file", tar_of(header("2.png", 0, tarfile.CHRTYPE))),
    ("not an ordinary file", tar_of(header("2.png", 0, tarfile.FIFOTYPE))),
    ("not an ordinary file", tar_of(sparse("2.png", 1 << 40))),
    ("not a whole zip or tar", tar_of(header("2.png", 1 << 40))),
    ("negative size", tar_of(header("2.png", -BLOCK))),
    ("has a header of", tar_of(header("x", 1 << 40, tarfile.XHDTYPE))),
    ("not a whole zip or tar", tar_of(EXTENDED)),
    ("not an ordinary file", tar_of(header("data.mdb", 0, HARD, "data.mdb"))),
    ("not an ordinary file", tar_of(header("data.mdb", 0, LINK, "/etc/passwd"))),
    (
        "more than 100 times its size",
        lambda: gzip.compress(tar(member("zeros.png", bytes(1 << 26)))),
    ),
    ("not a whole zip or tar|more than 100 times", lambda: zeros(300)),
    (
        "has a header of|more than 100 times",
        lambda: gzip.compress(header("x", 1 << 30, tarfile.XHDTYPE)) + zeros(100),
    ),
    ("not a whole LMDB|bytes; fetch", lmdb_of(136, 1 << 38)),
    ("bytes; fetch it again, whole", lmdb_of(136, 1 << 14)),
    ("damaged LMDB", lmdb_of(128, 1 << 38)),
]
"""What is said, and what makes an archive."""


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("message", "make"), ARCHIVES)
def test_a_hostile_archive(message, make, tmp_path):
    """Refused, or why its members were not read is listed."""
    place, into = tmp_path / "place", tmp_path / "store"
    place.mkdir()
    (place / "archive").write_bytes(make())
    with contained(tmp_path, into), pytest.raises(UserError) as refused:
        prepare(images_dataset(place / "archive"), into, workers=1)
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    if (into / "unreadable.json").exists():
        entries = json.loads((into / "unreadable.json").read_text())
        assert all(entry["name"].isprintable() for entry in entries)
        said = " ".join(entry["reason"] for entry in entries)
    assert re.search(message, said)


def test_a_hostile_folder(tmp_path):
    deep = tmp_path / "deep"
    inner = deep.joinpath(*["d"] * 300)
    inner.mkdir(parents=True)
    (inner / "1.png").write_bytes(PNG)
    os.mkfifo(deep / "2.png")
    (deep / "3.png").symlink_to("/dev/zero")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.png").write_bytes(PNG)
    (deep / "4").symlink_to(tmp_path / "secret")
    limit = sys.getrecursionlimit()
    # Folders of this depth can be tidied up after the test, and are deeper than Python may go here.
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    try:
        manifest = prepare(images_dataset(deep, max_unreadable=3), tmp_path / "store", workers=1)
    finally:
        sys.setrecursionlimit(limit)
    assert manifest.count == 1
    assert [entry.reason.split(";")[0] for entry in manifest.unreadable] == [
        *("not an ordinary file", "symbolic link", "symbolic link")
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

BMP = struct.pack("<IHHI", 70, 0, 0, 1 << 30) + struct.pack(
    "<IiiHHIIiiII", *(40, 20, 20, 1, 24, 0, 0, 0, 0, 0, 0)
)


def of_array(shape: tuple[int, ...], kind: str, dtype: type = np.uint8) -> bytes:
    return saved(Image.fromarray(np.ones(shape, dtype)), kind)


def with_bomb(kind: bytes, start: bytes) -> bytes:
    """A PNG with a text or profile of a quarter of a gigabyte."""
    return png_of(20, 20, chunk(kind, start + zlib.compress(bytes(1 << 28), 9)))


IMAGES: list[tuple[str, bytes | Callable[[], bytes]]] = [
    ("unrecognized|truncated|broken|[Tt]runcated|cannot", PNG[: len(PNG) // 2]),
    ("", png_of(0, 0)),
    ("decompression bomb", png_of(100_000, 100_000)),
    ("", png_of(2**31 - 1, 1)),
    ("too long for its width", lambda: of_array((1, 1_000_000, 3), "PNG")),
    ("", png_of(20, 20)),
    ("", png_of(20, 20, chunk(b"IDAT", b"noise"))),
    ("", lambda: with_bomb(b"zTXt", b"Comment\0\0")),
    ("", lambda: with_bomb(b"iCCP", b"p\0\0")),
    ("", PNG[:40] + b"????" + PNG[44:]),  # a wrong checksum
    ("", tiff(SQUARE)),
    ("", tiff(SQUARE[:2], 8)),  # leads back to itself
    ("", tiff([(273, 4, 1 << 30, 8), *SQUARE])),  # a billion values
    ("no known white", lambda: of_array((20, 20), "TIFF", np.float32)),
    ("", lambda: of_array((20, 20), "GIF")[:-20]),
    ("", b"GIF89a\xff\xff\xff\xff\x00\x00\x00;"),
    ("", b"GIF89a\x10\x00\x10\x00\x00\x00\x00;"),  # no frames
    ("", b"BM" + BMP),  # points behind its end
    ("decompression bomb", b"P6 99999 99999 255\n" + bytes(99)),
    ("", b"P6 " + b"9" * 5_000),
    ("unknown format", EPS),  # would be drawn by a program
    ("unknown format", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    ("unknown format", b"<html><script>alert(1)</script></html>"),
    ("unknown format", b"\x7fELF" + bytes(99)),
    ("unknown format", b"cos\nsystem\n(S'touch canary'\ntR."),
    ("", lambda: saved(Image.new("RGB", (20, 20)), "WEBP")[:30]),
    ("", lambda: of_array((20, 20, 3), "JPEG")[:300]),
]


@pytest.mark.parametrize(
    ("message", "make"), IMAGES, ids=lambda x: x if isinstance(x, str) else "-"
)
def test_a_hostile_image(message, make, tmp_path, monkeypatch):
    """Counted as unreadable; the image beside it is read."""
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


SCRIPT = b"<script>alert(1)</script>"


@pytest.mark.parametrize(
    "data",
    [
        PNG + zipped("x.py", b"import os"),
        PNG + SCRIPT,
        png_of(1, 1, chunk(b"tEXt", b"Title\0" + SCRIPT), chunk(b"IDAT", zlib.compress(bytes(4)))),
    ],
    ids=["a zip as well", "a web page as well", "a text of markup"],
)
def test_an_image_that_is_something_else_as_well_is_read_as_its_pixels(data, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "1.png").write_bytes(data)
    with contained(tmp_path, tmp_path / "store"):
        manifest = prepare(images_dataset(place), tmp_path / "store", workers=1)
    assert manifest.count == 1
