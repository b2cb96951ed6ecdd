"""Images, features and scores take no more memory when there are more of them, but a block."""

import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fpa.core.files import load_array, new_array
from fpa.core.progress import Progress
from fpa.evaluation import cross_check, distances, extractors, precision_recall, sampling, scores
from fpa.evaluation.features import FeatureInfo, Features, as_stored
from fpa.evaluation.sampling import CHUNK
from fpa.evaluation.scores import Pair, Settings

CPU = torch.device("cpu")
D = 64


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 250 rows at most."""
    monkeypatch.setattr(distances, "BLOCK", 250)
    monkeypatch.setattr(scores, "BLOCK", 250)
    monkeypatch.setattr(cross_check, "ROWS", 250)
    monkeypatch.setattr(precision_recall, "BLOCK", 50)
    monkeypatch.setattr(precision_recall, "MOST_COVERED", 250)


def peak(work: Callable[[], object]) -> int:
    """Most bytes of arrays that some work holds at once; mapped files are none."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def pair(folder: Path, count: int) -> Pair:
    """Two sets of features (count, D) on disk, mapped into memory."""
    about = dict.fromkeys(("extractor", "weights_sha256", "resize", "format"), "random")
    found = []
    for seed in (0, 1):
        path = folder / f"{count}-{seed}.npy"
        array = new_array(path, np.float32, (count, D))
        array[:] = np.random.default_rng(seed).normal(size=(count, D))
        array.flush()
        found.append(Features(load_array(path, mmap_mode="r"), None, FeatureInfo(**about)))
    return Pair(*found)


def test_twice_the_features_take_no_more_memory_to_score(tmp_path, small_blocks):
    settings = Settings(("fid", "kid", "precision", "recall"), "symmetric", 5, 100, 20, 0)
    peaks = {}
    for count in (4_000, 8_000):
        both = pair(tmp_path, count)

        def measure(both: Pair = both) -> None:
            assert scores.measure(both, (both, both), settings).keys() >= {"fid", "recall"}

        # What is imported on the way counts only once.
        measure()
        peaks[count] = peak(measure)
    # A permutation of the rows, 8 bytes each, and a twentieth of them, in which KID's error is taken.
    more = 4_000 * (2 * 8 + 4 * D / 20)
    assert peaks[8_000] - peaks[4_000] < 1.5 * more < 0.25 * 4_000 * 4 * D


def test_samples_are_saved_chunk_by_chunk(tmp_path):
    alive: list[weakref.ref[np.ndarray]] = []

    def chunks(count: int):
        for _ in range(count):
            images = np.zeros((CHUNK, 1, 4, 4), np.uint8)
            alive.append(weakref.ref(images))
            yield images, np.ones(CHUNK, bool)
            del images
            # The one that was saved last, and no others.
            assert sum(reference() is not None for reference in alive) <= 1

    sampling.save(tmp_path / "x.npy", chunks(5), 5 * CHUNK, {}, Progress(5 * CHUNK, "", ""))
    assert load_array(tmp_path / "x.npy").shape == (5 * CHUNK, 1, 4, 4)


def test_a_generator_draws_a_chunk_when_it_is_asked_for():
    drawn = []

    class Counting(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            drawn.append(len(z))
            return torch.zeros(len(z), 1, 4, 4)

    chunks = sampling.sample_chunks(Counting(), 3, 5 * CHUNK, 0, CPU)
    assert drawn == []
    next(chunks)
    assert drawn == [CHUNK]


def test_torch_fidelity_gets_some_images_at_a_time(tmp_path, monkeypatch, thumbnails):
    about = tmp_path / "e.json"
    extractors.obtain("thumbnails-16px", None, about)
    extraction = cross_check.Extraction(about, CPU)
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 16, 16), dtype=np.uint8)
    seen: list[int] = []

    def blocks():
        return extraction.blocks(images, lambda image: as_stored(image, "array"), seen.append)

    (together,) = blocks()
    assert sum(seen) == len(images)
    monkeypatch.setattr(cross_check, "AT_ONCE", 30)
    seen.clear()
    parts = blocks()
    first = next(parts)
    assert (len(first), sum(seen)) == (30, 30)
    np.testing.assert_array_equal(np.concatenate([first, *parts]), together)


def test_statistics_in_blocks_are_those_of_torch_fidelity(small_blocks):
    from torch_fidelity.metric_fid import fid_features_to_statistics

    features = np.random.default_rng(0).normal(3, 1, (700, 8)).astype(np.float32)
    theirs = fid_features_to_statistics(torch.from_numpy(features))
    ours = cross_check.statistics(features)
    # The library's mean is one of float32.
    np.testing.assert_allclose(ours["mu"], theirs["mu"], rtol=1e-5)
    np.testing.assert_allclose(ours["sigma"], theirs["sigma"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("most", [0, 5000], ids=["subset by subset", "from all pairs"])
def test_kid_is_torch_fidelitys(monkeypatch, most):
    from torch_fidelity.metric_kid import kid_features_to_metric

    monkeypatch.setattr(cross_check, "MOST_PAIRED", most)

    rng = np.random.default_rng(0)
    real, fake = (rng.normal(m, 1, (n, 8)).astype(np.float32) for m, n in ((0, 90), (0.5, 70)))
    theirs = kid_features_to_metric(
        *(torch.from_numpy(x).double() for x in (fake, real)),
        kid_subsets=7,
        kid_subset_size=40,
        rng_seed=3,
        verbose=False,
    )
    ours = cross_check.kernel(real, fake, 7, 40, 3)
    # The same subsets, their sums in another order.
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
