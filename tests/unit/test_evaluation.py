"""Samples and features: against the libraries' pipelines, files on disk, and themselves."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from conftest import TINY, fpa, fpa_ok
from PIL import Image
from torch import nn
from torchvision.utils import save_image

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.progress import Progress
from fpa.core.provenance import STAGES
from fpa.data.prepare import prepare
from fpa.evaluation import (
    cross_check,
    distances,
    extractors,
    features,
    precision_recall,
    protocols,
    sampling,
    scores,
)
from fpa.evaluation.evaluate import score_run
from fpa.evaluation.extractors import base
from fpa.evaluation.memorisation import search
from fpa.evaluation.protocols import Space
from fpa.evaluation.quick_score import QuickScore
from fpa.experiment.plan import Plan

CPU = torch.device("cpu")
NAME = "efficientnet_lite0-32px"
SPACE = Space(NAME, "clean", "array")


@pytest.fixture(scope="module")
def about(tmp_path_factory):
    path = tmp_path_factory.mktemp("extractor") / "e.json"
    extractors.obtain(NAME, None, path)
    return path


@pytest.fixture(scope="module")
def extractor(about):
    return extractors.load(about, "clean", CPU)


def noise_images(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, 16, 16), dtype=np.uint8)


def extracted(images: np.ndarray, network: extractors.Extractor) -> np.ndarray:
    return np.concatenate([*network.blocks(images, partial(features.as_stored, kind="array"), int)])


def test_features_equal_those_of_clean_fids_pipeline(extractor, tmp_path):
    """clean-fid's folder reader with our network, one PNG an image, gives the same numbers."""
    from cleanfid import fid

    images = noise_images(5, 3)
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    from cleanfid.resize import make_resizer

    theirs = fid.get_folder_features(
        str(tmp_path),
        extractor.network,
        num_workers=0,
        batch_size=2,
        device=CPU,
        custom_fn_resize=make_resizer("PIL", False, "bicubic", (32, 32)),
        verbose=False,
    )
    np.testing.assert_allclose(extracted(images, extractor), theirs, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_what_else_is_in_the_batch(extractor):
    images = noise_images(70)
    together = extracted(images, extractor)
    alone = extracted(images[66:67], extractor)
    assert together.shape == (70, 1280)
    np.testing.assert_allclose(together[66:67], alone, rtol=1e-4, atol=1e-5)


def test_grey_images_are_repeated_in_three_channels(extractor):
    images = noise_images(3)
    np.testing.assert_array_equal(
        extracted(images, extractor), extracted(images.repeat(3, 1), extractor)
    )


def computed(images: np.ndarray, about, path, space: Space = SPACE) -> np.ndarray:
    """Features in a file."""
    features.compute(images, space, about, CPU, path, {})
    return features.load(path).values


class Noisy(nn.Module):
    """A generator that draws noise inside."""

    def forward(self, z):
        return (z[:, :1, None, None] + 0.1 * torch.randn(len(z), 1, 4, 4)).sigmoid()


def test_a_sample_is_the_same_every_time_and_a_short_one_begins_a_long_one():
    long = sampling.sample(Noisy(), 6, 150, 3, CPU)
    assert long.shape == (150, 1, 4, 4)
    assert np.array_equal(sampling.sample(Noisy(), 6, 150, 3, CPU), long)
    assert np.array_equal(sampling.sample(Noisy(), 6, 70, 3, CPU), long[:70])
    assert not np.array_equal(sampling.sample(Noisy(), 6, 150, 4, CPU), long)
    assert len(np.unique(long.reshape(150, -1), axis=0)) == 150


def test_images_are_clamped_and_rounded_as_torchvision_saves_them(tmp_path):
    images = torch.linspace(-0.2, 1.2, 48).view(1, 3, 4, 4)
    save_image(images, tmp_path / "x.png", padding=0)
    saved = np.asarray(Image.open(tmp_path / "x.png")).transpose(2, 0, 1)
    assert np.array_equal(sampling.to_uint8(images)[0], saved)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpegs_in_memory_are_those_that_torchvision_saves(channels, tmp_path):
    images = noise_images(2, channels)
    for image in images:
        save_image(torch.from_numpy(image).float() / 255, tmp_path / "x.jpg", padding=0)
        on_disk = np.asarray(Image.open(tmp_path / "x.jpg"))
        np.testing.assert_array_equal(features.as_stored(image, "jpeg"), on_disk)


def test_both_libraries_see_the_same_images(about, tmp_path):
    """Features by torch-fidelity's loop and batches equal ours."""
    images = noise_images(70, 3)
    for resize in ("clean", "torch_fidelity"):
        space = Space(NAME, resize, "jpeg")
        features.compute(images, space, about, CPU, tmp_path / f"{resize}.npy", {})
    ours, theirs = (features.load(tmp_path / f"{r}.npy") for r in ("clean", "torch_fidelity"))
    np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-4, atol=1e-5)
    assert ours.logits is None
    assert theirs.logits.shape == (70, 1000)
    # The file format was applied: other features than those of the arrays.
    assert not np.allclose(extracted(images, extractors.load(about, "clean", CPU)), ours.values)


def test_features_by_hand_are_mapped_and_say_what_made_them(about, tmp_path):
    np.save(tmp_path / "i.npy", noise_images(5))
    fpa_ok(
        *("features", "i.npy", "--extractor", about, "--space", str(SPACE), "--count", 3),
        *("--device", "cpu", "--out", "f.npy"),
        cwd=tmp_path,
    )
    found = features.load(tmp_path / "f.npy")
    assert found.values.shape == (3, 1280)
    assert isinstance(found.values, np.memmap)
    described = json.loads((tmp_path / "f.json").read_text())
    assert (described["extractor"], described["format"], described["count"]) == (NAME, "array", 3)


def test_protocols_are_known_or_changed_in_the_configuration():
    paper = protocols.resolve("paper", {}, "p")
    assert (str(paper.space), paper.n_fake) == ("inception_v3.pytorch.jpeg", 50000)
    assert paper.n_real is None
    spaces = [f"inception_v3.{how}.jpeg" for how in ("tensorflow", "torch_fidelity")]
    assert list(map(str, paper.checked_spaces)) == spaces
    quick = protocols.resolve("quick", {"n_fake": 7, "extractor": NAME}, "p")
    assert (quick.extractor, quick.n_fake, quick.resize) == (NAME, 7, "clean")
    assert [s.resize for s in quick.checked_spaces] == ["clean", "torch_fidelity"]
    with pytest.raises(UserError, match=r"known are paper, clean, quick"):
        protocols.resolve("papre", {}, "p")
    with pytest.raises(UserError, match=r"p.resize: .* takes clean, found 'pytorch'"):
        protocols.resolve("quick", {"resize": "pytorch"}, "p")


def save_features(path, values, **about) -> None:
    np.save(path, values.astype(np.float32))
    described = {"extractor": "e", "weights_sha256": "", "resize": "clean", "format": "array"}
    described |= {"images_sha256": "", "features": values.shape[1], **about}
    path.with_suffix(".json").write_text(json.dumps(described))


def test_features_of_different_spaces_are_not_compared(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 3))
    save_features(tmp_path / "a.npy", values)
    save_features(tmp_path / "b.npy", values, format="jpeg")
    done = fpa("score", ".", "--fake", "a.npy", "--real", "b.npy", "--out", "s.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot be compared: format is jpeg and array" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(UserError, match="n_real is 9, but there are only 5"):
        scores.choose(features.load(tmp_path / "a.npy"), 9, 0)
    assert len(scores.choose(features.load(tmp_path / "a.npy"), 2, 0).values) == 2


@pytest.fixture(scope="module")
def painter():
    from fpa.models.painter import Painter, PainterSettings

    torch.manual_seed(0)
    return Painter(16, 1, PainterSettings(steps=8, latent_dim=16, hidden_size=32)).eval()


@pytest.mark.slow
def test_a_score_depends_on_neither_threads_nor_batch_size(painter, about, monkeypatch, tmp_path):
    """From latents to FID, once with one thread and once with two and other batches."""
    real = noise_images(80, seed=9)
    found = []
    before = torch.get_num_threads()
    try:
        for threads, batch in ((1, 64), (2, 13)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(base, "BATCH", batch)
            fake = computed(sampling.sample(painter, 16, 80, 0, CPU), about, tmp_path / "fake.npy")
            values = computed(real, about, tmp_path / "real.npy")
            found.append(distances.frechet_of(fake, values))
    finally:
        torch.set_num_threads(before)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def save_scored(folder) -> scores.Settings:
    """Feature files and a finished run's summary."""
    run = {"dataset": {"name": "d", "resolution": 16}, "model": {"name": "m"}, "seed": 7}
    summary = {"run": run, "digest": "0" * 64, "kimg": 4, "best": {"kimg": 3, "fid": 1.0}}
    summary |= {"parameters": {"ema": 11, "generator": 12}, "images_sha256": ""}
    (folder / "train.json").write_text(json.dumps(summary))
    draw = np.random.default_rng(0).normal
    save_features(folder / "real.npy", draw(size=(60, 4)))
    save_features(folder / "fake.npy", draw(0.5, size=(50, 4)))
    return scores.Settings(["fid", "kid"], "symmetric", 5, 20, 5, 0)


def trained(folder, **about) -> None:
    """The run's summary says this of its training."""
    summary = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**summary, **about}))


def scored(folder, settings, fake="fake", real="real", checkpoint="last", n_real=None, **more):
    files = [str(folder / f"{name}.npy") for name in (fake, real)]
    return score_run(folder, *files, None, settings, "quick", checkpoint, n_real, **more)


def test_a_run_is_not_scored_against_other_images_than_it_was_trained_on(tmp_path):
    settings = save_scored(tmp_path)
    trained(tmp_path, images_sha256="others")
    with pytest.raises(UserError, match=r"is of other images than .* was trained on"):
        scored(tmp_path, settings)


def test_a_score_says_what_it_was_computed_from(tmp_path):
    settings = save_scored(tmp_path)
    found = scored(tmp_path, settings, checkpoint="best", n_real=40)
    assert (found.checkpoint, found.checkpoint_kimg, found.kimg) == ("best", 3, 4)
    assert (found.n_real, found.n_fake, found.generator_parameters) == (40, 50, 11)
    assert (found.status, found.stages) == ("ok", {"score": STAGES["score"]})
    assert set(found.metrics) == {"fid", "kid"}
    line = found.summary()
    assert line.startswith(
        "d m seed 7, protocol quick (e features, resize clean, format array, 50 samples against 40 real images): Fréchet distance "
    )
    assert "±" in line
    assert found.n_precision_recall is None
    settings = settings._replace(metrics=["precision", "recall"])
    loaded, radii = features.load(tmp_path / "real.npy"), tmp_path / "radii.npz"
    precision_recall.save_real(radii, loaded.values, loaded.info, 50, 0)
    last, kept = scored(tmp_path, settings), scored(tmp_path, settings, radii=radii)
    assert (kept.metrics, kept.n_precision_recall) == (last.metrics, 50)
    assert (last.checkpoint_kimg, last.n_real) == (4, 60)
    with pytest.raises(UserError, match="radii of 50 real images, expected 40"):
        scored(tmp_path, settings, n_real=40, radii=radii)


def test_every_stage_says_its_own_version_and_a_score_carries_them(about, tmp_path, monkeypatch):
    """The code that scores does not know by which version a file was made: the file does."""
    settings = save_scored(tmp_path)
    chunk = (noise_images(50), np.ones(50, bool))
    stages = {"stages": {"sample": 102}}
    sampling.save(tmp_path / "x.npy", iter([chunk]), 50, stages, Progress(50, "", ""))
    experiment = Plan({**TINY, "results": str(tmp_path), "data": str(tmp_path)})
    monkeypatch.setitem(STAGES, "prepare", 103)
    images = prepare(experiment.datasets["digits"], tmp_path / "store").images_sha256
    trained(tmp_path, stages={"train": 101}, images_sha256=images)
    monkeypatch.setitem(STAGES, "prepare", 1)
    monkeypatch.setitem(STAGES, "features", 104)
    for name in ("x.npy", "store"):
        out = tmp_path / f"{name}-features.npy"
        features.compute_file(tmp_path / name, SPACE, about, CPU, out, count=50)
    monkeypatch.setitem(STAGES, "features", 1)
    monkeypatch.setitem(STAGES, "score", 105)
    made = scored(tmp_path, settings, "x.npy-features", "store-features")
    versions = {"train": 101, "sample": 102, "prepare": 103, "features": 104, "score": 105}
    assert made.stages == versions
    # Features of two versions are two feature spaces.
    features.compute_file(tmp_path / "x.npy", SPACE, about, CPU, tmp_path / "new.npy")
    with pytest.raises(UserError, match="the version of stage features is 104 and 1"):
        scored(tmp_path, settings, "new", "store-features")


class Broken(nn.Module):
    """A painter whose images are NaN for some latents."""

    def __init__(self, painter):
        super().__init__()
        self.painter = painter

    def forward(self, z):
        images = self.painter(z)
        images[z[:, 0] > 1.5, 0, 3, 3] = torch.nan
        return images


def test_images_that_are_nan_make_a_score_nan(painter, about, tmp_path, caplog):
    """As uint8 they would be black, with features like any image's."""
    settings = save_scored(tmp_path)
    chunks = list(sampling.sample_chunks(Broken(painter), 16, 70, 0, CPU))
    expected = [n for n in range(70) if not np.concatenate([finite for _, finite in chunks])[n]]
    assert 0 < len(expected) < 20
    sampling.save(tmp_path / "x.npy", iter(chunks), 70, {"seed": 0}, Progress(70, "", ""))
    known = {"images_sha256": file_digest(tmp_path / "x.npy"), "not_finite": expected}
    assert json.loads((tmp_path / "x.json").read_text()) == {"seed": 0, **known}
    assert f"{len(expected)} of 70 images are not finite" in caplog.text
    np.save(tmp_path / "r.npy", noise_images(60))
    for name in ("x", "r"):
        out = tmp_path / f"{name}-features.npy"
        features.compute_file(tmp_path / f"{name}.npy", SPACE, about, CPU, out)
    values = features.load(tmp_path / "x-features.npy").values
    assert np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist() == expected
    # As if trained on them.
    real = features.load(tmp_path / "r-features.npy").info
    trained(tmp_path, images_sha256=real.images_sha256)
    found = scored(tmp_path, settings, "x-features", "r-features")
    assert (found.status, found.metrics) == ("nan", {})
    assert found.not_finite == len(expected)
    assert found.summary().endswith(f"{len(expected)} of its samples are not finite")
    # The first of them alone are as good as any.
    out = tmp_path / "first.npy"
    features.compute_file(tmp_path / "x.npy", SPACE, about, CPU, out, count=expected[0])
    assert features.load(out).info.not_finite == 0
    assert np.isfinite(features.load(out).values).all()


def test_images_that_are_nan_make_the_quick_score_nan(painter, about, tmp_path):
    values = computed(noise_images(80), about, tmp_path / "real.npy")
    watch = QuickScore(values, SPACE, about, 16, 70, 5, CPU)
    assert np.isfinite(watch(painter)["fid"])
    assert all(np.isnan(value) for value in watch(Broken(painter)).values())


@pytest.mark.parametrize(
    ("n", "distinct", "message"),
    [
        (1, 1, "a quick score needs 4 images on either side, found 1 real"),
        (3, 3, "a quick score needs 4 images on either side, found 3 real"),
        (40, 1, "the features of all 40 real images are the same"),
    ],
)
def test_real_images_that_say_nothing_are_told(about, tmp_path, n, distinct, message):
    real = noise_images(distinct).repeat(n // distinct, axis=0)
    values = computed(real, about, tmp_path / "real.npy")
    with pytest.raises(UserError, match=message):
        QuickScore(values, SPACE, about, 16, 70, 5, CPU)


def test_samples_that_are_nan_have_no_nearest_training_image():
    draw = np.random.default_rng(0).normal
    real, fake = draw(size=(30, 4)), draw(size=(6, 4))
    fake[1] = np.nan
    images = noise_images(30) | 1
    found = search(real, fake, images, images[:6], 3)
    assert np.isnan(found["distance"]).tolist() == [n == 1 for n in range(6)]
    assert [bool(found["nearest"][n].any()) for n in range(3)] == [True, False, True]
    unseen = search(real, fake, None, images[:6], 3)
    assert set(unseen) == set(found) - {"nearest"}
    assert np.array_equal(unseen["distance"], found["distance"], equal_nan=True)
    fake[:] = np.nan
    assert np.isnan(search(real, fake, images, images[:6], 3)["distance"]).all()


@pytest.mark.parametrize("kind", ["array", "jpeg"])
def test_the_quick_score_is_that_of_the_protocols_files(painter, about, tmp_path, kind):
    real, space = noise_images(80, seed=9), SPACE._replace(format=kind)
    values = computed(real, about, tmp_path / "real.npy", space)
    watch = QuickScore(values, space, about, 16, 70, 5, CPU)
    chunks = sampling.chunks_on_device(painter, 16, 70, 5, CPU, sampling.Purpose.SELECTION)
    fake = np.concatenate([images.numpy() for images, _ in chunks])
    fake_values = computed(fake, about, tmp_path / "fake.npy", space)
    expected = distances.frechet_of(values, fake_values)
    found = watch(painter)
    assert found["fid"] == pytest.approx(expected, rel=1e-6)
    # As many real ones as samples, by the other library's formula.
    rows = precision_recall.subset(80, 70, 5)
    theirs = cross_check.precision_recall(values[rows], fake_values)
    assert (found["precision"], found["recall"]) == pytest.approx(theirs)


def test_no_checkpoint_is_chosen_by_latents_that_are_scored():
    def latents(purpose: sampling.Purpose) -> set[float]:
        seeds, chunks = range(20), range(10)
        return {
            sampling.sample_latents(1, 1, seed, chunk, purpose).item()
            for seed in seeds
            for chunk in chunks
        }

    drawn = [latents(purpose) for purpose in sampling.Purpose]
    assert [len(numbers) for numbers in drawn] == 3 * [200]
    assert len(set().union(*drawn)) == 600
