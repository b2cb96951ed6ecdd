"""Batches on the training's device: the same ones, wherever the images are."""

import json

import numpy as np
import pytest
import torch

from fpa.core import distributed
from fpa.data.sampler import EpochSampler
from fpa.training import batches
from fpa.training.batches import Batches

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
