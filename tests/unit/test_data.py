"""Single pictures, the store that they are prepared into, the order in which they are fed, and batches on the
training's device."""

import hashlib
import io
import json
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from conftest import ROOT, fpa, fpa_ok, images_dataset, png
from hostile import chunk
from PIL import Image, features
from sklearn.datasets import load_digits
from torchvision.transforms import functional as F

from fpa.core import distributed
from fpa.core.errors import UserError
from fpa.data import picture
from fpa.data.picture import FILTERS
from fpa.data.prepare import prepare
from fpa.data.readers import Found, Reader
from fpa.data.sampler import EpochSampler
from fpa.data.sources import SOURCES, DatasetSpec, Source, resolve
from fpa.data.store import open_store, verify
from fpa.training import batches
from fpa.training.batches import Batches

DIGITS = DatasetSpec(
    name="digits", source="digits", resolution=16, channels=1, filter="bicubic", count=1797
)
TORCHVISION = {
    "bilinear": F.InterpolationMode.BILINEAR,
    "bicubic": F.InterpolationMode.BICUBIC,
    "lanczos": F.InterpolationMode.LANCZOS,
}


def decode(data: bytes, size: int = 16, channels: int = 3, resample: str = "bilinear"):
    return picture.decode(data, size, channels, FILTERS[resample])


def by_torchvision(data: bytes, size: int, mode: str = "RGB", resample: str = "bilinear"):
    """What the paper's loader makes of a file, (C, size, size) uint8."""
    opened = Image.open(io.BytesIO(data)).convert(mode)
    fitted = np.asarray(F.center_crop(F.resize(opened, size, TORCHVISION[resample]), size))
    return fitted.reshape(size, size, -1).transpose(2, 0, 1)


@pytest.mark.parametrize("shape", [(8, 8), (31, 17), (20, 45), (178, 218), (16, 16), (218, 178)])
@pytest.mark.parametrize("name", list(TORCHVISION))
@pytest.mark.parametrize("size", [8, 16, 64])
def test_resize_and_crop_equals_torchvision_bit_for_bit(shape, name, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    shown = Image.fromarray(pixels)
    expected = F.center_crop(F.resize(shown, size, TORCHVISION[name]), size)
    ours = picture.resize_and_crop(shown, size, FILTERS[name])
    assert np.array_equal(np.asarray(ours), np.asarray(expected))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_file_becomes_what_torchvision_makes_of_it(photographs, kind, mode):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow has read AVIF since 11.3")
    file = io.BytesIO()
    Image.fromarray(photographs[0]).save(file, kind)
    ours = decode(file.getvalue(), 64, len(mode), "bilinear")
    assert np.array_equal(ours, by_torchvision(file.getvalue(), 64, mode))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_usual_mode_is_converted(photographs, mode):
    file = io.BytesIO()
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    Image.fromarray(photographs[1]).convert(mode).save(file, kind)
    assert np.array_equal(decode(file.getvalue(), 32), by_torchvision(file.getvalue(), 32))
    grey = decode(file.getvalue(), 32, channels=1)
    assert np.array_equal(grey, by_torchvision(file.getvalue(), 32, "L"))


def test_16_bit_grey_keeps_its_upper_bits():
    # Pillow's own conversion clips it to white.
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 256 + 77
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(decode(file.getvalue()), np.stack([expected] * 3))


def png_of_16_bits(values: np.ndarray, bits: int = 0) -> bytes:
    """A PNG of values (H, W) or (H, W, C) of 16 bits; bits: those that it says to use (sBIT)."""
    high, wide = values.shape[:2]
    colours = values.size // (high * wide)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[colours]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    stated = chunk(b"sBIT", bytes([bits]) * colours) if bits else b""
    about = chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 16, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + about + stated + data


def tiff_of_16_bits(values: np.ndarray, bits: int = 0, *more: tuple[int, int]) -> bytes:
    """A TIFF of values (H, W), (H, W, 3) or CMYK (H, W, 4); bits: those that it says to use
    (MaxSampleValue); more: further tags."""
    high, wide, *colours = values.shape
    count = colours[0] if colours else 1
    tags = [(256, wide), (257, high), (259, 1), (277, count), *more]
    tags += [(262, {1: 1, 3: 2, 4: 5}[count])] if 262 not in dict(more) else []
    tags += [(273, 200), (278, high), (279, 2 * values.size), (258, 16 if count == 1 else 190)]
    tags += [(281, (1 << bits) - 1)] if bits else []
    entries = [
        struct.pack("<HHII", tag, 3 if tag == 258 else 4, count if tag == 258 else 1, value)
        for tag, value in sorted(tags)
    ]
    directory = struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    start = (b"II*\0" + directory).ljust(190, b"\0") + struct.pack("<HHHH", 16, 16, 16, 16)
    return start.ljust(200, b"\0") + values.astype("<u2").tobytes()


def ppm_of_16_bits(values: np.ndarray, bits: int = 0) -> bytes:
    """A PGM or PPM; bits: those that its largest value says to use."""
    high, wide, *colours = values.shape
    header = f"P{6 if colours else 5} {wide} {high} {(1 << (bits or 16)) - 1}\n"
    return header.encode() + values.astype(">u2").tobytes()


@pytest.mark.parametrize(
    ("encode", "colours"),
    [
        *((png_of_16_bits, colours) for colours in (0, 2, 3, 4)),
        *((encode, colours) for encode in (tiff_of_16_bits, ppm_of_16_bits) for colours in (0, 3)),
    ],
)
@pytest.mark.parametrize(("used", "stated"), [(16, 0), (12, 0), (12, 12), (10, 10), (14, 14)])
def test_fewer_bits_in_a_file_of_16_keep_their_brightness(encode, colours, used, stated):
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32) << 6 >> (16 - used)
    file = encode(np.stack([values] * colours, 2) if colours else values, stated)
    expected = np.arange(1024).reshape(32, 32) >> 2
    found = decode(file, 32).astype(int)
    # Pillow rounds where a PPM states its largest value.
    assert abs(found - expected).max() <= (1 if encode is ppm_of_16_bits else 0)


@pytest.mark.parametrize(("used", "stated"), [(16, 0), (12, 0), (12, 12)])
def test_inks_of_16_bits_are_those_of_8(used, stated):
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 4)).astype(np.uint16)
    plain = io.BytesIO()
    Image.frombytes("CMYK", (32, 32), values.astype(np.uint8).tobytes()).save(plain, "TIFF")
    file = tiff_of_16_bits(values << 8 >> (16 - used), stated)
    assert np.array_equal(decode(file, 32), decode(plain.getvalue(), 32))


def test_white_may_be_zero_in_16_bits():
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32) << 6
    assert np.array_equal(
        decode(tiff_of_16_bits(values, 0, (262, 0)), 32), 255 - decode(tiff_of_16_bits(values), 32)
    )


def test_planes_of_16_bits_are_not_misread():
    with pytest.raises(ValueError, match="in planes of their own"):
        decode(tiff_of_16_bits(np.zeros((32, 32, 3), np.uint16), 0, (284, 2)))


def test_values_that_fill_16_bits_are_taken_as_such_whatever_the_file_says():
    # As PNG's standard has it: scaled to 16 bits, of which 12 were measured.
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64) << 4
    assert decode(png_of_16_bits(values, 12), 64).max() == 255
    assert decode(png_of_16_bits(values >> 4, 16), 64).max() == 15


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_read_where_its_package_is_and_named_with_it_where_not(brand, heic):
    file = b"\0\0\0\x18ftyp" + brand + bytes(4) + b"mif1heic" + bytes(99)
    heic(False)
    with pytest.raises(ValueError, match="HEIC; pip install pillow-heif"):
        decode(file)
    heic(True)
    assert decode(file)[:, 0, 0].tolist() == [9, 99, 0]


@pytest.mark.parametrize("raw", ["tags of a camera", "reduced"])
def test_a_cameras_raw_file_is_not_taken_for_its_thumbnail(raw):
    file = io.BytesIO()
    tags = {50706: b"\1\4\0\0"} if raw == "tags of a camera" else {254: 1, 330: 8}
    Image.new("RGB", (20, 20)).save(file, "TIFF", tiffinfo=tags)
    with pytest.raises(ValueError, match="raw photograph; develop it"):
        decode(file.getvalue())


def test_images_are_opened_in_one_place():
    found = [
        path.name
        for path in (ROOT / "fpa").rglob("*.py")
        if re.search(r"\bImage\.open\(|cv2|imageio", path.read_text(encoding="utf-8"))
    ]
    assert found == ["picture.py"]


def test_alpha_is_dropped_as_in_the_papers_code():
    pixels = np.full((16, 16, 4), (200, 100, 50, 0), np.uint8)
    assert decode(png(pixels))[:, 0, 0].tolist() == [200, 100, 50]


def test_exif_rotation_is_ignored_as_in_the_papers_code(photographs):
    plain, turned = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photographs[2]).save(plain, "JPEG")
    Image.fromarray(photographs[2]).save(turned, "JPEG", exif=exif)
    assert np.array_equal(decode(plain.getvalue()), decode(turned.getvalue()))


def test_of_an_animation_the_first_frame_is_taken(photographs):
    file = io.BytesIO()
    first, second = (Image.fromarray(p).convert("P") for p in photographs[:2])
    first.save(file, "GIF", save_all=True, append_images=[second])
    assert np.array_equal(decode(file.getvalue(), 32), by_torchvision(file.getvalue(), 32))


def test_digits_are_prepared_whole_in_order_and_described(tmp_path):
    prepare(DIGITS, tmp_path)
    images, manifest = open_store(tmp_path)
    assert images.shape == (1797, 1, 16, 16)
    assert images.dtype == np.uint8
    original = np.round(load_digits().images[5] * 255 / 16).astype(np.uint8)
    expected = Image.fromarray(original).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(images[5, 0], np.asarray(expected))
    assert manifest.count == 1797
    assert manifest.dataset.filter == "bicubic"
    rows = "".join(hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    assert manifest.images_sha256 == hashlib.sha256(rows.encode()).hexdigest()


def test_grey_images_fill_three_channels_on_request(tmp_path):
    prepare(DIGITS.model_copy(update={"channels": 3, "resolution": 8}), tmp_path)
    images, _ = open_store(tmp_path)
    assert images.shape == (1797, 3, 8, 8)
    assert np.array_equal(images[:, 0], images[:, 2])


class Greys(Reader):
    """A toy source: flat grey images, made when they are read."""

    kind, only_images = "greys", True

    def list(self):
        for i in range(7):
            yield Found(f"{i:02d}", i, 0)

    def read(self, place):
        return png(np.full((20, 30), 10 * place, np.uint8))


def test_a_plug_in_registers_a_data_set_with_a_reader(tmp_path):
    SOURCES.register("greys", Source(description="flat greys", count=7, reader=Greys))
    spec = {"source": None, "resolution": 16, "channels": 1, "filter": "box", "count": None}
    spec |= {"path": None, "max_unreadable": 0}
    dataset = resolve("greys", spec, tmp_path, "datasets.greys")
    manifest = prepare(dataset, tmp_path / "store", workers=2)
    images, _ = open_store(tmp_path / "store")
    assert manifest.source.kind == "greys"
    assert manifest.names == [f"{i:02d}" for i in range(7)]
    assert all((images[i] == 10 * i).all() for i in range(7))
    with pytest.raises(UserError, match=r"greys.path: greys are not read from a file; leave path"):
        resolve("greys", {**spec, "path": "x.zip"}, tmp_path, "datasets.greys")


def test_a_store_that_does_not_match_its_manifest_is_refused(tmp_path):
    prepare(DIGITS, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "count": 3}))
    with pytest.raises(UserError, match="does not match its manifest"):
        open_store(tmp_path)
    with pytest.raises(UserError, match="python -m fpa prepare"):
        open_store(tmp_path / "nothing")


def test_verify_finds_a_changed_byte_and_a_changed_name(tmp_path):
    prepare(DIGITS, tmp_path)
    assert verify(tmp_path).count == 1797
    whole = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"images.npy has the digest .* delete .* prepare it again"):
        verify(tmp_path)
    (tmp_path / "images.npy").write_bytes(whole)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["names"][7] = manifest["names"][8]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="names 1,796 images and counts 1,797"):
        verify(tmp_path)


def test_prepare_and_verify_by_hand(tmp_path):
    words = ("prepare", *DIGITS.as_words(), "--no-config", "--out", "store")
    assert "digits: 1797 images of 16 px in store" in fpa_ok(*words, cwd=tmp_path).stderr
    assert not (tmp_path / "store/unfinished").exists()
    told = fpa_ok(*words, "--verify", cwd=tmp_path).stderr
    assert "store: 1797 images, as the manifest says" in told
    with open(tmp_path / "store/images.npy", "ab") as file:
        file.write(b"x")
    done = fpa(*words, "--verify", cwd=tmp_path)
    assert (done.returncode, "prepare it again" in done.stderr) == (1, True)


def test_inspect_prints_the_manifest_and_draws_a_contact_sheet(tmp_path, photographs):
    (tmp_path / "mine").mkdir()
    for i, pixels in enumerate([*photographs[:8], photographs[0]]):
        (tmp_path / "mine" / f"{i}.png").write_bytes(png(pixels))
    (tmp_path / "mine/readme.txt").write_text("no image")
    folder = tmp_path / "store"
    prepare(images_dataset(tmp_path / "mine"), folder)
    done = fpa_ok("inspect", folder, cwd=tmp_path)
    assert "9 of 3 x 16 x 16, uint8" in done.stdout
    assert "1 exact (1 as files)" in done.stdout
    assert "0.png = 8.png" in done.stdout
    assert "readme.txt: no image by its first bytes" in done.stdout
    sheet = np.asarray(Image.open(folder / "contact-sheet.png"))
    images, _ = open_store(folder)
    scale = ((sheet.shape[0] + 1) // 3 - 1) // 16
    assert np.array_equal(
        sheet[: 16 * scale : scale, : 16 * scale : scale], images[0].transpose(1, 2, 0)
    )


def test_an_epoch_shows_every_image_once_and_epochs_differ():
    feed = EpochSampler(np.arange(12).reshape(12, 1, 1, 1), 4, seed=0)
    epochs = [np.concatenate([feed.next_rows() for _ in range(3)]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    other = EpochSampler(feed.images, 12, seed=1).next_rows()
    assert len({tuple(order) for order in (*epochs, other)}) == 3


def test_the_order_resumes_in_the_middle_of_an_epoch():
    images = np.arange(10).reshape(10, 1, 1, 1)
    one, other = EpochSampler(images, 3, seed=7), EpochSampler(images, 3, seed=7)
    for _ in range(5):
        one.next_rows()
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for _ in range(8):
        assert np.array_equal(one.next_rows(), other.next_rows())


def test_a_batch_larger_than_the_data_set_is_refused():
    with pytest.raises(UserError, match=r"batch_size 11 is larger than the data set \(10 images\)"):
        EpochSampler(np.zeros((10, 1, 1, 1), np.uint8), 11, 0)


CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 2, 3, 3), dtype=np.uint8)


def plain(feed: EpochSampler) -> torch.Tensor:
    return torch.from_numpy(IMAGES[feed.next_rows()]).float() / 255


@pytest.fixture(params=["read now", "read ahead", "on the device"])
def made(request, monkeypatch):
    """Batches(feed), each of the three ways that a device may have them."""

    def make(feed: EpochSampler) -> Batches:
        found = Batches(feed, CPU)
        if request.param == "read ahead":
            found.reader = batches.ThreadPoolExecutor(1)
        assert (found.images is not None) == (request.param == "on the device")
        return found

    if request.param == "on the device":
        monkeypatch.setattr(batches, "free_memory", lambda device: 4 * IMAGES.nbytes)
        monkeypatch.setattr(batches, "BLOCK", 10)
    return make


def test_batches_are_the_feeds_to_the_bit_over_epochs_and_resumes(made):
    ours, expected = made(EpochSampler(IMAGES, 5, 3)), EpochSampler(IMAGES, 5, 3)
    kept = None
    for step in range(11):
        batch = ours.next()
        assert torch.equal(batch, plain(expected))
        assert ours.feed.state_dict() == expected.state_dict()
        if step == 3:
            # The last batch of an epoch: what is read ahead is the next epoch's.
            kept = json.loads(json.dumps(ours.feed.state_dict()))
    for feed in (ours.feed, expected):
        feed.load_state_dict(kept)
    assert torch.equal(ours.next(), plain(expected))
    assert (batch.dtype, batch.min() >= 0, batch.max() <= 1) == (torch.float32, True, True)


def test_a_process_gets_its_own_rows(made, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    ours, expected = made(EpochSampler(IMAGES, 6, 0)), EpochSampler(IMAGES, 6, 0)
    for _ in range(4):
        assert torch.equal(ours.next(), plain(expected)[3:])


def test_images_that_take_more_than_the_share_stay_on_the_host(monkeypatch):
    monkeypatch.setattr(batches, "free_memory", lambda device: 4 * IMAGES.nbytes - 4)
    assert Batches(EpochSampler(IMAGES, 5, 3), CPU).images is None


def test_a_device_reads_ahead_what_does_not_fit():
    meta = torch.device("meta")
    ours = Batches(EpochSampler(IMAGES, 5, 3), meta)
    assert ours.reader
    batch = ours.next()
    assert (batch.device, batch.dtype, batch.shape) == (meta, torch.float32, (5, 2, 3, 3))
