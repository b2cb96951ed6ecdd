"""Prepared images and their order."""

import json

import numpy as np
import pytest
import torch
from conftest import fpa
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.transforms import functional as F

from fpa.data.feed import Feed
from fpa.data.store import FILTERS, open_store, prepare, resize_and_crop
from fpa.errors import UserError
from fpa.files import file_digest

DIGITS = {
    "name": "digits",
    "source": "digits",
    "resolution": 16,
    "channels": 1,
    "filter": "bicubic",
}


@pytest.mark.parametrize("shape", [(8, 8), (31, 17), (20, 45), (178, 218), (16, 16)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
def test_resize_and_crop_equals_torchvision_bit_for_bit(shape, name):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    filters = {
        "bilinear": F.InterpolationMode.BILINEAR,
        "bicubic": F.InterpolationMode.BICUBIC,
        "lanczos": F.InterpolationMode.LANCZOS,
    }
    expected = F.center_crop(F.resize(picture, 16, filters[name]), 16)
    ours = resize_and_crop(picture, 16, FILTERS[name])
    assert np.array_equal(np.asarray(ours), np.asarray(expected))


def test_digits_are_prepared_whole_in_order_and_described(tmp_path):
    prepare(DIGITS, tmp_path)
    images, manifest = open_store(tmp_path)
    assert images.shape == (1797, 1, 16, 16)
    assert images.dtype == np.uint8
    original = np.round(load_digits().images[5] * 255 / 16).astype(np.uint8)
    expected = Image.fromarray(original).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(images[5, 0], np.asarray(expected))
    assert manifest["count"] == 1797
    assert manifest["dataset"]["filter"] == "bicubic"
    assert manifest["images_sha256"] == file_digest(tmp_path / "images.npy")


def test_grey_images_fill_three_channels_on_request(tmp_path):
    prepare({**DIGITS, "channels": 3, "resolution": 8}, tmp_path)
    images, _ = open_store(tmp_path)
    assert images.shape == (1797, 3, 8, 8)
    assert np.array_equal(images[:, 0], images[:, 2])


def test_a_store_that_does_not_match_its_manifest_is_refused(tmp_path):
    prepare(DIGITS, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "count": 3}))
    with pytest.raises(UserError, match="does not match its manifest"):
        open_store(tmp_path)
    with pytest.raises(UserError, match="python -m fpa prepare"):
        open_store(tmp_path / "nothing")


def test_prepare_by_hand(tmp_path):
    done = fpa("prepare", json.dumps(DIGITS), "--out", "store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "digits: 1797 images of 16 px in store" in done.stderr


def test_an_epoch_shows_every_image_once_and_epochs_differ():
    feed = Feed(np.arange(12).reshape(12, 1, 1, 1), 4, seed=0)
    epochs = [np.concatenate([feed.next().ravel() for _ in range(3)]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert list(epochs[0]) != list(epochs[1])


def test_the_order_resumes_in_the_middle_of_an_epoch():
    images = np.arange(10).reshape(10, 1, 1, 1)
    one, other = Feed(images, 3, seed=7), Feed(images, 3, seed=7)
    for _ in range(5):
        one.next()
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for _ in range(8):
        assert np.array_equal(one.next(), other.next())


def test_seeds_give_different_orders():
    images = np.arange(100).reshape(100, 1, 1, 1)
    assert not np.array_equal(Feed(images, 50, 0).next(), Feed(images, 50, 1).next())


def test_a_batch_larger_than_the_data_set_is_refused():
    with pytest.raises(UserError, match=r"batch_size 11 is larger than the data set \(10 images\)"):
        Feed(np.zeros((10, 1, 1, 1), np.uint8), 11, 0)


def test_batches_become_floats_between_zero_and_one():
    from fpa.train import to_float

    batch = to_float(np.array([[[[0, 255]]]], np.uint8), torch.device("cpu"))
    assert batch.tolist() == [[[[0.0, 1.0]]]]
