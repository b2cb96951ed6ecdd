"""The quick score's distances and resize in torch, against SciPy, Pillow and the scores' own."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from fpa.evaluation import distances, precision_recall, quick_score
from fpa.evaluation.extractors.base import batch_resizer, resizer

CPU = torch.device("cpu")


def features(n: int, d: int, seed: int, decay: float = 1.0) -> np.ndarray:
    """Features whose standard deviations fall as 1 / k^decay, as a network's do, in a common basis."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    draw = np.random.default_rng(seed).normal(0.1 * seed, 1, (n, d))
    return (draw * np.arange(1, d + 1) ** -decay @ basis).astype(np.float32)


def found(real: np.ndarray, fake: np.ndarray) -> float:
    reference = quick_score.RealGaussian.of(real, CPU)
    return quick_score.frechet(reference, torch.from_numpy(fake)).item()


@pytest.fixture(params=["singular values", "eigenvalues, as on a GPU"])
def way(request, monkeypatch):
    if request.param != "singular values":
        monkeypatch.setattr(quick_score, "nuclear_norm", quick_score._by_eigenvalues)


def test_the_frechet_distance_is_the_one_by_scipys_matrix_root(way):
    # float64 through a square root of a well-conditioned matrix: ten digits are left.
    real, fake = features(300, 24, 1, decay=0.5), features(200, 24, 2, decay=0.5)
    one, two = (np.cov(part.astype(np.float64), rowvar=False) for part in (real, fake))
    gap = real.mean(axis=0, dtype=np.float64) - fake.mean(axis=0, dtype=np.float64)
    expected = gap @ gap + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert found(real, fake) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("n", "m", "d"), [(400, 300, 64), (400, 40, 64), (30, 200, 64), (30, 20, 64)]
)
@pytest.mark.parametrize("decay", [1.0, 3.0])
def test_the_frechet_distance_is_that_of_the_scores(n, m, d, decay, way, monkeypatch):
    monkeypatch.setattr(quick_score, "BLOCK", 90)
    real, fake = features(n, d, 1, decay), features(m, d, 2, decay)
    # Both keep single squares of standard deviations, down to 1e-13 of the largest.
    assert found(real, fake) == pytest.approx(distances.frechet_of(real, fake), rel=1e-6)


def test_precision_and_recall_are_those_of_the_scores():
    real, fake = features(200, 16, 1), features(150, 16, 3)
    covered = precision_recall.real_subset(real, 150, 0)
    parts = (torch.from_numpy(part) for part in (*covered, fake))
    shares = [share.item() for share in quick_score.precision_recall(*parts)]
    assert shares == pytest.approx(precision_recall.precision_recall(covered, fake), abs=1e-12)
    assert all(0.05 < share < 0.95 for share in shares)


@pytest.mark.parametrize(("size", "target"), [(16, 96), (31, 64), (64, 32), (128, 299)])
@pytest.mark.parametrize("how", ["clean", "pytorch", "tensorflow"])
def test_a_batch_is_resized_as_its_images_are(how, size, target):
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    expected = np.stack([resizer(how, target)(image) for image in images]).transpose(0, 3, 1, 2)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    resized = batch_resizer(how, target)(batch)
    # Pillow rounds its filter's weights to float32: some 1e-5 of the range of 255.
    np.testing.assert_allclose(resized.numpy(), expected, rtol=0, atol=3e-3)
