"""Distances and metrics: known answers, other libraries, sampling errors that are true, the limit of many samples, and
the quick score's distances and resize in torch."""

import math

import numpy as np
import pytest
import torch
from cleanfid import fid as clean
from scipy.linalg import sqrtm
from scipy.stats import t

from fpa.core.errors import UserError
from fpa.evaluation import (
    cross_check,
    distances,
    kernel_distances,
    precision_recall,
    quick_score,
    scores,
)
from fpa.evaluation.distances import Estimate, Gaussian, estimates_from, frechet_estimates
from fpa.evaluation.extractors.base import batch_resizer, resizer
from fpa.evaluation.features import FeatureInfo, Features
from fpa.evaluation.metrics import METRICS, Measurement, Metric

CPU = torch.device("cpu")
NAME = "efficientnet_lite0-32px"


def gaussian(n: int, d: int, seed: int, shift: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (n, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 20), (300, 300, 64), (40, 90, 64)])
def test_the_symmetric_frechet_distance_equals_clean_fids_and_torch_fidelitys(n, m, d):
    mixing = gaussian(d, d, 1)
    real, fake = gaussian(n, d, 2) @ mixing, gaussian(m, d, 3, 0.3, 1.4) @ mixing
    ours = distances.frechet_of(real, fake)
    # With fewer samples than dimensions the square root of a singular product loses digits.
    tolerance = 1e-6 if min(n, m) > d else 1e-3
    assert distances.frechet_of(real, fake, "clean_fid") == pytest.approx(ours, rel=tolerance)
    assert cross_check.frechet(real, fake) == pytest.approx(ours, rel=tolerance)


@pytest.mark.parametrize("n", [2, 5, 63])
def test_fewer_samples_than_dimensions_give_the_right_number(n):
    """Against the trace of a matrix square root by eigenvalues of the small Gram matrix."""
    real, fake = gaussian(100, 64, 0), gaussian(n, 64, 1, 0.5)
    x, y = (f.astype(np.float64) for f in (real, fake))
    xc, yc = (f - f.mean(0) for f in (x, y))
    gram = (yc @ xc.T) @ (yc @ xc.T).T / ((len(x) - 1) * (n - 1))
    trace = np.sqrt(np.linalg.eigvalsh(gram).clip(0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + (xc**2).sum() / (len(x) - 1)
    expected += (yc**2).sum() / (n - 1) - 2 * trace
    found = distances.frechet_of(real, fake)
    assert math.isfinite(found)
    assert found == pytest.approx(expected, rel=1e-6)


def test_features_that_never_vary_are_no_problem():
    real, fake = gaussian(50, 8, 0), gaussian(50, 8, 1)
    real[:, 3] = fake[:, 3] = 1
    without = [np.delete(f, 3, axis=1) for f in (real, fake)]
    assert distances.frechet_of(real, fake) == pytest.approx(distances.frechet_of(*without))


def test_moments_are_gathered_in_blocks(monkeypatch):
    x = gaussian(100, 5, 0, shift=1000)
    whole = distances.gaussian(x)
    monkeypatch.setattr(distances, "BLOCK", 7)
    blocks = distances.gaussian(x)
    np.testing.assert_allclose(blocks.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(blocks.covariance, np.cov(x.T.astype(np.float64)), rtol=1e-8)
    np.testing.assert_allclose(
        whole.factor.T @ whole.factor, whole.covariance, rtol=1e-9, atol=1e-12
    )


def true_spread(measure, samples: int = 40) -> tuple[float, float]:
    """Standard deviation of an estimate over independent samples, and the mean error it claims."""
    estimates = [measure(gaussian(1000, 16, 100 + s, 0.1, 1.2), s) for s in range(samples)]
    return np.std([e.value for e in estimates], ddof=1), np.mean([e.error for e in estimates])


@pytest.mark.parametrize(("n", "size", "tolerance"), [(3000, 500, 0.4), (2000, 50, 0.3)])
def test_the_error_of_kid_is_that_of_repeated_draws(n, size, tolerance):
    """Of ten subsets of a tenth of the samples, most is which ones were drawn: without it, half."""
    real = gaussian(n, 16, 0)
    spread, claimed = true_spread(
        lambda f, s: kernel_distances.kid_estimate(real, f, 10, size, 10, s)
    )
    # A standard deviation of 40 draws is known to 11%, a jackknife of 10 groups less well.
    assert claimed == pytest.approx(spread, rel=tolerance)


def test_kid_is_clean_fids_of_the_same_subsets():
    x, y = gaussian(200, 8, 0), gaussian(200, 8, 1, 0.5)
    np.random.seed(7)
    expected = clean.kernel_distance(x.astype(float), y.astype(float), 5, 50)
    assert kernel_distances.kid_estimate(x, y, 5, 50, 1000, 7).value == pytest.approx(
        expected, rel=1e-12
    )


def test_the_kernels_of_all_pairs_give_each_subset_what_clean_fid_does(monkeypatch):
    monkeypatch.setattr(kernel_distances, "BLOCK", 64)
    x, y = gaussian(300, 8, 0), gaussian(170, 8, 1, 0.5)
    draws = kernel_distances.draw(300, 170, 20, 100, 7)
    # Groups of samples have subsets of another size.
    draws += kernel_distances.draw(300, 30, 5, 100, 8)
    assert kernel_distances.pays(300, 170, draws)
    assert not kernel_distances.pays(3000, 170, draws)
    found = kernel_distances.of_draws(x, y, draws)
    np.testing.assert_allclose(found, kernel_distances.by_clean_fid(x, y, draws), rtol=1e-11)


def test_kid_is_seeded_and_leaves_numpys_generator_alone():
    real, fake = gaussian(300, 8, 0), gaussian(300, 8, 1, 0.5)
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    first = kernel_distances.kid_estimate(real, fake, 10, 100, 1000, 3).value
    assert np.random.rand() == expected
    assert kernel_distances.kid_estimate(real, fake, 10, 100, 1000, 3).value == first
    assert kernel_distances.kid_estimate(real, fake, 10, 100, 1000, 4).value != first


def test_kid_over_the_whole_sets_equals_the_double_sum():
    x, y = gaussian(30, 5, 0), gaussian(30, 5, 1, 0.5)

    def k(a, b):
        return (float(a @ b) / 5 + 1) ** 3

    n = 30
    same = sum(k(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j)
    cross = sum(k(a, b) for a in x for b in y)
    expected = same / (n * (n - 1)) - 2 * cross / n**2
    assert kernel_distances.kid_estimate(x, y, 1, 30, 1000, 0).value == pytest.approx(
        expected, rel=1e-4
    )
    assert cross_check.kernel(x, y, 1, 30, 0) == pytest.approx(expected, rel=1e-4)


def test_inception_score_of_sure_and_even_classes_is_their_number():
    logits = 100 * np.eye(7, dtype=np.float32)[np.arange(7000) % 7]
    mean, spread = cross_check.inception_score(logits, 10, 0)
    assert mean == pytest.approx(7, rel=0.02)
    assert cross_check.inception_score(np.zeros((100, 7), np.float32), 10, 0)[0] == pytest.approx(1)
    assert spread < 0.2


def test_the_inception_scores_error_is_that_of_repeated_draws():
    def measure(seed):
        rows = gaussian(1000, 7, seed, scale=2)
        about = {"extractor": "e", "weights_sha256": "", "resize": "x", "format": "array"}
        pair = scores.Pair(*(Features(rows, rows, FeatureInfo(**about)) for _ in range(2)))
        measurement = Measurement(pair, (pair, pair), settings_of(seed=seed))
        return METRICS["inception_score"].compute(measurement)["inception_score"]

    estimates = [measure(seed) for seed in range(40)]
    spread = np.std([estimate.value for estimate in estimates], ddof=1)
    # A deviation of 40 draws is known to 11%; the deviation over ten splits would be 3 times this.
    assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(spread, rel=0.4)


# Real photographs, made worse step by step.


# Scores put together.


def settings_of(**settings) -> scores.Settings:
    standard = {"metrics": tuple(METRICS), "frechet": "symmetric", "kid_subsets": 5}
    return scores.Settings(
        **{**standard, "kid_subset_size": 100, "groups": 10, "seed": 0, **settings}
    )


def measured(real, fake, libraries=True, **settings):
    def features_of(values, resize):
        about = {"extractor": "e", "weights_sha256": "", "resize": resize, "format": "array"}
        return Features(values, None, FeatureInfo(**about))

    def pair(resize):
        return scores.pair(features_of(real, resize), features_of(fake, resize))

    main = pair("clean")
    both = (main, pair("torch_fidelity")) if libraries else None
    return scores.measure(main, both, settings_of(**settings))


def test_a_score_holds_both_libraries_numbers_and_their_difference():
    found = measured(gaussian(300, 8, 0), gaussian(200, 8, 1, 0.5))
    assert set(found) == {
        *("fid", "fid_infinity", "kid", "precision", "recall", "fid_difference"),
        *("fid_torch_fidelity", "kid_torch_fidelity"),
    }
    assert found["fid_difference"].value < 1e-5
    assert found["fid"].error > 0
    assert set(measured(gaussian(300, 8, 0), gaussian(200, 8, 1), metrics=["kid"])) == {
        *("kid", "kid_torch_fidelity")
    }
    alone = measured(gaussian(300, 8, 0), gaussian(200, 8, 1), libraries=False)
    assert set(alone) == {"fid", "fid_infinity", "kid", "precision", "recall"}


def test_metrics_come_in_the_order_that_people_read_and_say_what_they_need():
    assert list(METRICS) == [
        *("fid", "fid_infinity", "kid", "cmmd", "ppl", "precision", "recall", "inception_score")
    ]
    assert all(metric.name == name for name, metric in METRICS.items())
    assert [metric.label for metric in METRICS.values()] == [
        *("FID", "FID ∞", "KID", "CMMD", "PPL", "precision", "recall", "Inception Score")
    ]

    for kind, names in {
        "needs_cross_check": {"inception_score"},
        "uses_real_radii": {"precision", "recall"},
        "lower_is_better": {"fid", "fid_infinity", "kid", "cmmd", "ppl"},
        "drawn": {"fid", "kid", "cmmd", "ppl", "precision", "recall"},
        "table": {"fid", "kid"},
    }.items():
        assert {name for name, metric in METRICS.items() if getattr(metric, kind)} == names


def test_precision_and_recall_are_of_as_many_images_on_either_side(monkeypatch):
    sizes = []

    def record(real, fake):
        sizes.append((len(real.centres), len(fake)))
        return 0.5, 0.5

    monkeypatch.setattr(precision_recall, "precision_recall", record)
    for n, m in ((300, 200), (200, 300)):
        measured(gaussian(n, 8, 0), gaussian(m, 8, 1), metrics=["precision"])
    monkeypatch.setattr(precision_recall, "MOST_COVERED", 50)
    measured(gaussian(300, 8, 0), gaussian(200, 8, 1), metrics=["recall"])
    assert sizes == [(200, 200), (200, 200), (50, 50)]


def test_metrics_that_few_images_do_not_allow_are_left_out():
    few = measured(gaussian(30, 8, 0), gaussian(3, 8, 1), metrics=["fid", "precision", "recall"])
    assert set(few) == {"fid", "fid_torch_fidelity", "fid_difference"}


@pytest.mark.parametrize(
    ("n_real", "n_fake", "metric", "reason"),
    [
        (30, 30, "fid_infinity", "needs 32 samples, 4 for each of 8 feature dimensions, found 30"),
        (30, 3, "precision", "needs four images on either side, found 3"),
        (3, 30, "recall", "needs four images on either side, found 3"),
        (30, 30, "cmmd", r"needs CLIP features \(protocol clip\), found e"),
        (30, 30, "ppl", r"needs paths between latents \(protocol ppl\)"),
        (30, 30, "inception_score", "needs cross_check: true and ten samples"),
        (1, 30, "fid", "a distance needs 2 images on either side, found 1 real and 30 generated"),
    ],
)
def test_what_cannot_be_computed_is_an_error_with_its_reason(n_real, n_fake, metric, reason):
    real, fake = gaussian(n_real, 8, 0), gaussian(n_fake, 8, 1)
    with pytest.raises(UserError, match=reason) as error:
        measured(real, fake, libraries=False, metrics=[metric], groups=4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0.0, 1.5, -3.0])
def test_one_real_image_again_and_again_is_an_error(value):
    same = np.full((40, 8), value, np.float32)
    rounded = same * (1 + 1e-7 * np.arange(40, dtype=np.float32))[:, None]
    for real in (same, rounded):
        with pytest.raises(UserError, match="features of all 40 real images are the same"):
            measured(real, gaussian(64, 8, 1), metrics=["fid"])
    # What is generated may be: its distance is that of a point.
    found = measured(gaussian(64, 8, 1), same, metrics=["fid"], libraries=False, groups=4)
    assert found["fid"].value > 0
    # And the formula holds for a point as a reference.
    fake = gaussian(64, 8, 1)
    value = distances.frechet_estimates(same, fake, 4, 0)[0].value
    expected = np.square(fake.mean(0) - same[0]).sum() + np.trace(np.cov(fake.T))
    assert value == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def toy():
    """A metric registered for one test: the distance between means, and the number of samples."""

    def compute(measurement: Measurement):
        main = measurement.main
        gap = np.linalg.norm(main.real.values.mean(0) - main.fake.values.mean(0))
        count = len(main.fake.values)
        return {"toy": Estimate(gap, math.nan), "toy_count": Estimate(count, 0.0)}

    return METRICS.register("toy", Metric("toy", "Toy", lower_is_better=True, compute=compute))


def test_a_registered_metric_is_computed_when_it_is_named(toy):
    real, fake = gaussian(300, 8, 0), gaussian(200, 8, 1, 0.5)
    found = measured(real, fake, metrics=["toy", "kid"], libraries=False)
    assert set(found) == {"kid", "toy", "toy_count"}
    gap = np.linalg.norm(real.mean(0) - fake.mean(0))
    assert found["toy"] == (pytest.approx(gap), pytest.approx(math.nan, nan_ok=True))
    assert found["toy_count"] == (200.0, 0.0)
    assert set(measured(real, fake, metrics=["kid"], libraries=False)) == {"kid"}


def test_libraries_that_disagree_end_the_run_with_both_numbers(monkeypatch):
    monkeypatch.setattr(cross_check, "frechet", lambda real, fake: 123.0)
    with pytest.raises(UserError, match=r"two libraries disagree.* and 123 \(torch-fidelity\)"):
        measured(gaussian(300, 8, 0), gaussian(200, 8, 1))


def test_features_that_are_not_finite_have_no_score_and_single_images_an_error():
    fake = gaussian(30, 8, 0)
    fake[3, 2] = np.nan
    assert measured(gaussian(30, 8, 1), fake) == {}
    with pytest.raises(UserError, match="needs 2 images on either side"):
        measured(gaussian(30, 8, 1), fake[:1])


def reference(d: int) -> Gaussian:
    return Gaussian(np.zeros(d), np.eye(d), np.eye(d))


def draw(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 1.2, (n, d))


def truth(d: int) -> float:
    """Of `draw` from `reference`: |difference of means|^2 + d (1.2 - 1)^2."""
    return d * (0.1**2 + 0.2**2)


@pytest.mark.parametrize(("n", "d"), [(300, 16), (20, 16), (90, 24)])
def test_the_distance_by_eigenvalues_is_that_by_singular_values(n, d):
    mixing = np.random.default_rng(1).normal(size=(d, d))
    real, fake = draw(200, d, 2) @ mixing, draw(n, d, 3) @ mixing
    one = distances.gaussian(real)
    halves = np.array_split(np.random.default_rng(0).permutation(n), 2)
    moments = distances.add([distances.moments(fake, rows, one) for rows in halves])
    assert distances.distance(one, moments) == pytest.approx(
        distances.frechet_of(real, fake), rel=1e-7
    )


def test_the_jackknife_of_a_mean_is_the_standard_error_of_the_groups():
    means = np.random.default_rng(0).normal(size=10)
    without = (means.sum() - means) / 9
    assert distances.jackknife(without) == pytest.approx(means.std(ddof=1) / math.sqrt(10))


def test_a_quadratic_in_one_over_n_is_extrapolated_exactly(monkeypatch):
    monkeypatch.setattr(distances, "distance", lambda _, one: 3 + 20 / one.n + 500 / one.n**2)
    quarters = [distances.Moments(25, np.zeros(1), 0.0, np.zeros((1, 1)))] * 4
    assert distances.intercept(reference(1), quarters) == pytest.approx(3, rel=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """The error of a line's fit, which was reported before, is 0.6 of the true one: 73% are held."""
    d, draws = 24, 100
    found = [estimates_from(reference(d), draw(1000, d, s), 10, s) for s in range(draws)]
    values, errors = np.array([limit for _, limit in found]).T
    held = np.abs(values - truth(d)) < t.ppf(0.95, 9) * errors
    # 90 expected; below 80 or above 98 once in some hundred times.
    assert 0.8 <= held.mean() <= 0.98
    # The deviation of 100 draws is known to 7%, the mean of their jackknife errors to 3%.
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.25)


def test_the_limit_is_free_of_the_bias_down_to_four_samples_a_feature():
    d, draws = 48, 40
    found = [estimates_from(reference(d), draw(4 * d, d, s), 10, s) for s in range(draws)]
    plain, limit = (np.array([pair[i] for pair in found]) for i in (0, 1))
    bias = limit[:, 0].mean() - truth(d)
    assert plain[:, 0].mean() - truth(d) > 20 * abs(bias)
    # Less than the error that is reported: an interval holds the truth.
    assert abs(bias) < 0.6 * limit[:, 1].mean()
    assert plain[:, 1].mean() == pytest.approx(plain[:, 0].std(ddof=1), rel=0.4)


@pytest.mark.parametrize(
    ("n", "d", "groups", "there"), [(256, 64, 10, True), (255, 64, 10, False), (60, 2, 10, False)]
)
def test_there_is_no_limit_where_it_cannot_be_had(n, d, groups, there):
    fid, limit = frechet_estimates(draw(400, d, 0), draw(n, d, 1), groups, 0)
    assert (limit is not None) == there
    assert fid.error > 0


def test_few_samples_have_a_distance_and_no_error():
    real, fake = draw(50, 4, 0), draw(12, 4, 1)
    fid, limit = frechet_estimates(real, fake, 10, 0)
    assert fid.value == distances.frechet_of(real, fake)
    assert math.isnan(fid.error)
    assert limit is None


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
