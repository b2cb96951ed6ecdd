"""CMMD, perceptual path length, precision and recall: against slow loops, known answers, and torch-fidelity."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import fpa_ok
from torch import nn
from torch_fidelity import GenerativeModelModuleWrapper, register_sample_similarity
from torch_fidelity.metric_ppl import calculate_ppl
from torch_fidelity.sample_similarity_base import SampleSimilarityBase
from torch_fidelity.utils import sample_random

from fpa.core.errors import UserError
from fpa.evaluation import cross_check, evaluate, features
from fpa.evaluation import precision_recall as pr
from fpa.evaluation.features import FeatureInfo, Features
from fpa.evaluation.kernel_distances import cmmd, unit
from fpa.evaluation.path_length import EPSILON, path_lengths, perceptual_path_length, summarise
from fpa.evaluation.scores import Pair, Settings, measure


def slow_cmmd(real, fake):
    """The unbiased estimate, pair by pair, with the published bandwidth 10 and factor 1000."""
    x, y = ([v / math.sqrt(sum(v * v)) for v in part.astype(float)] for part in (real, fake))

    def k(a, b):
        return math.exp(-sum((a - b) ** 2) / (2 * 10**2))

    def mean_of_pairs(v):
        values = [k(a, b) for i, a in enumerate(v) for j, b in enumerate(v) if i != j]
        return sum(values) / len(values)

    across = [k(a, b) for a in x for b in y]
    return 1000 * (mean_of_pairs(x) + mean_of_pairs(y) - 2 * sum(across) / len(across))


def test_cmmd_and_its_jackknife_are_those_of_slow_loops():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(23, 6)), 0.5 + random.normal(size=(20, 6))
    found = cmmd(real, fake, groups=4, seed=3)
    # Kernel values lie within 2% of 1, so that differences lose two digits of sixteen.
    assert found.value == pytest.approx(slow_cmmd(real, fake), rel=1e-9)
    groups = np.random.default_rng(3).permutation(20) * 4 // 20
    without = np.array([slow_cmmd(real, fake[groups != g]) for g in range(4)])
    error = math.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum())
    assert found.error == pytest.approx(error, rel=1e-8)


def test_cmmd_is_unbiased_and_its_error_is_the_spread_over_samples():
    """Of 300 samples of 40 from the same distribution, the mean is zero within its error."""
    random = np.random.default_rng(1)
    estimates = [
        cmmd(random.normal(size=(60, 5)), random.normal(size=(40, 5)), 8, 0) for _ in range(300)
    ]
    values = np.array([estimate.value for estimate in estimates])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(300)
    # The real images are drawn again too, which the error leaves out.
    real = random.normal(size=(60, 5))
    again = [cmmd(real, 1 + random.normal(size=(40, 5)), 8, 0) for _ in range(300)]
    spread = np.std([estimate.value for estimate in again])
    assert np.mean([estimate.error for estimate in again]) == pytest.approx(spread, rel=0.15)


def test_cmmd_is_measured_in_clips_features():
    """In others it is refused: test_distances.py."""
    random = np.random.default_rng(2)
    assert np.allclose(np.linalg.norm(unit(random.normal(size=(4, 3))), axis=1), 1)
    about = FeatureInfo(extractor="clip_vit_l14_336")
    arrays = random.normal(size=(2, 30, 4)).astype(np.float32)
    pair = Pair(*(Features(values, None, about) for values in arrays))
    assert set(measure(pair, None, Settings(["cmmd"]))) == {"cmmd"}
    assert evaluate.resolve("clip").extractor == "clip_vit_l14_336"
    assert evaluate.resolve("dinov2").extractor == "dinov2_vitl14"


class Linear(nn.Module):
    """Images that are linear in the latents, around middle grey."""

    def __init__(self, latent_dim=4, size=4):
        super().__init__()
        torch.manual_seed(0)
        self.directions = nn.Parameter(0.01 * torch.randn(latent_dim, 3, size, size).double())

    def forward(self, z):
        return 0.5 + torch.einsum("nl,lchw->nchw", z.double(), self.directions)


def squared(one, two):
    """A distance whose path lengths are known: the sum of squares."""
    return ((one - two) ** 2).flatten(1).sum(dim=1)


def test_path_lengths_of_a_linear_generator_are_known():
    """A step of ε (z' - z) changes the image by 255 ε A (z' - z)."""
    generator = Linear()
    starts, ends = torch.randn(50, 4).double(), torch.randn(50, 4).double()
    found = path_lengths(generator, squared, starts, ends)
    change = 255 * torch.einsum("nl,lchw->nchw", ends - starts, generator.directions)
    expected = (change**2).flatten(1).sum(dim=1).detach().numpy()
    # Differences of numbers near 128 that are 1e-2 apart, in double precision.
    np.testing.assert_allclose(found, expected, rtol=1e-8)


class Squared(SampleSimilarityBase):
    def __init__(self, name, **_):
        super().__init__(name)

    def forward(self, one, two):
        return squared(one, two)


def test_path_lengths_are_torch_fidelitys():
    generator = Linear()
    register_sample_similarity("squared-for-a-test", Squared)
    theirs = calculate_ppl(
        1,
        input1=GenerativeModelModuleWrapper(_Scaled(generator), 4, "normal", 0),
        input1_model_num_samples=40,
        ppl_sample_similarity="squared-for-a-test",
        ppl_discard_percentile_lower=None,
        ppl_discard_percentile_higher=None,
        ppl_reduction="none",
        batch_size=16,
        rng_seed=5,
        cuda=False,
        verbose=False,
    )["perceptual_path_length_raw"]
    random = np.random.RandomState(5)
    latents = [sample_random(random, (40, 4), "normal") for _ in range(2)]
    ours = path_lengths(generator, squared, *latents)
    # Latents in single precision: a step of 1e-4 has four digits left.
    np.testing.assert_allclose(ours, theirs, rtol=2e-2)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=5e-3)


class _Scaled(nn.Module):
    """Images in [0, 255], as torch-fidelity wants them."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, z):
        return 255 * self.generator(z)


def test_the_mean_leaves_out_the_ends_and_knows_its_error():
    lengths = np.random.default_rng(0).permutation(np.arange(1001.0))
    found = summarise(lengths)
    # The percentiles are 10 and 990, and count.
    kept = np.arange(10.0, 991.0)
    assert found.n == 1001
    assert found.mean == pytest.approx(kept.mean())
    assert found.error == pytest.approx(kept.std(ddof=1) / math.sqrt(len(kept)))


def test_the_same_seed_gives_the_same_paths():
    def of(seed):
        return perceptual_path_length(Linear(), squared, 4, 30, seed, torch.device("cpu"))

    assert of(1) == of(1) != of(2)
    assert EPSILON == 1e-4


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
