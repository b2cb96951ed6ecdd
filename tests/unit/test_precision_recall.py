"""Precision and recall: against torch-fidelity and a plain loop, in blocks, from a file."""

import json

import numpy as np
import pytest
from conftest import fpa_ok

from fpa.core.errors import UserError
from fpa.evaluation import cross_check, features
from fpa.evaluation import precision_recall as pr


def points(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, d)).astype(np.float32)


def both(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    return pr.precision_recall(pr.manifold(real), fake)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 300, 8), (120, 200, 40), (4, 9, 3)])
@pytest.mark.parametrize("block", [7, 1000])
def test_precision_and_recall_are_torch_fidelitys(n, m, d, block, monkeypatch):
    monkeypatch.setattr(pr, "BLOCK", block)
    real, fake = points(n, d, 0), points(m, d, 1, 0.4)
    found = both(real, fake)
    assert found == pytest.approx(cross_check.precision_recall(real, fake), abs=1e-7)
    assert n == 4 or 0 < min(found) < max(found) < 1


def test_radii_reach_to_the_third_nearest_other_point():
    x = points(50, 3, 0)
    far = np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)
    np.testing.assert_allclose(pr.manifold(x).radii, far[:, 3], rtol=1e-6)


def test_copies_are_neighbours_of_each_other():
    x = np.repeat(points(20, 5, 0), 4, axis=0)
    np.testing.assert_allclose(pr.manifold(x).radii, 0, atol=1e-6)


def test_a_subset_is_random_and_the_same_for_its_seed():
    rows = pr.subset(1000, 100, 3)
    assert len(set(rows)) == 100
    assert (np.diff(rows) > 0).all()
    assert rows.max() > 500
    assert (pr.subset(1000, 100, 3) == rows).all()
    assert (pr.subset(1000, 100, 4) != rows).any()
    assert pr.subset(5, 100, 3).tolist() == [0, 1, 2, 3, 4]


ABOUT = {"extractor": "e", "weights_sha256": "", "resize": "clean", "format": "array"}


def test_radii_of_the_real_images_are_kept_and_belong_to_their_features(tmp_path):
    real = points(60, 4, 0)
    np.save(tmp_path / "real.npy", real)
    about = {**ABOUT, "features": 4, "images_sha256": "ab"}
    (tmp_path / "real.json").write_text(json.dumps(about))
    options = ("--most", 40, "--seed", 5, "--out", "radii.npz")
    fpa_ok("radii", "real.npy", *options, cwd=tmp_path)
    loaded = features.load(tmp_path / "real.npy")
    found = pr.load_real(tmp_path / "radii.npz", loaded.values, loaded.info)
    expected = pr.real_subset(real, 40, 5)
    np.testing.assert_array_equal(found.centres, expected.centres)
    np.testing.assert_array_equal(found.radii, expected.radii)
    others = loaded.info.model_copy(update={"images_sha256": "cd"})
    with pytest.raises(UserError, match="holds radii of other features"):
        pr.load_real(tmp_path / "radii.npz", real, others)
    with pytest.raises(UserError, match="need 4 images, found 3"):
        pr.save_real(tmp_path / "few.npz", real[:3], loaded.info, 40, 5)
