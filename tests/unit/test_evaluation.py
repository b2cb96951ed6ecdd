"""Samples and features: against the libraries' own pipelines, files on disk, and themselves."""

import json

import numpy as np
import pytest
import torch
from conftest import fpa
from PIL import Image
from torch import nn
from torchvision.utils import save_image

from fpa.common.errors import UserError
from fpa.evaluation import distances, extractors, features, protocols, sampling, scores
from fpa.evaluation.protocols import Space

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


def test_features_equal_clean_fids_own_pipeline(extractor, tmp_path):
    """clean-fid's folder reader with our network, one PNG an image, gives the same numbers."""
    from cleanfid import fid

    images = noise_images(5, 3)
    for i, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    from cleanfid.resize import make_resizer

    theirs = fid.get_folder_features(
        str(tmp_path),
        extractor,
        num_workers=0,
        batch_size=2,
        device=CPU,
        custom_fn_resize=make_resizer("PIL", False, "bicubic", (32, 32)),
        verbose=False,
    )
    np.testing.assert_allclose(features.extract(images, extractor), theirs, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_what_else_is_in_the_batch(extractor):
    images = noise_images(70)
    together = features.extract(images, extractor)
    alone = features.extract(images[66:67], extractor)
    assert together.shape == (70, 1280)
    np.testing.assert_allclose(together[66:67], alone, rtol=1e-4, atol=1e-5)


def test_grey_images_are_their_own_three_channels(extractor):
    images = noise_images(3)
    np.testing.assert_array_equal(
        features.extract(images, extractor), features.extract(images.repeat(3, 1), extractor)
    )


class Noisy(nn.Module):
    """A generator with noise of its own."""

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
    """Features by torch-fidelity's own loop, registered network and batches equal ours."""
    images = noise_images(70, 3)
    for resize in ("clean", "torch_fidelity"):
        space = Space(NAME, resize, "jpeg")
        features.compute(images, space, about, CPU, tmp_path / f"{resize}.npy", {})
    ours, theirs = (features.load(tmp_path / f"{r}.npy") for r in ("clean", "torch_fidelity"))
    np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-4, atol=1e-5)
    assert ours.logits is None
    assert theirs.logits.shape == (70, 1000)
    # The file format was applied: other features than those of the arrays.
    assert not np.allclose(
        features.extract(images, extractors.load(about, "clean", CPU)), ours.values
    )


def test_features_by_hand_are_mapped_and_say_what_made_them(about, tmp_path):
    np.save(tmp_path / "i.npy", noise_images(5))
    done = fpa(
        *("features", "i.npy", "--extractor", about, "--space", str(SPACE), "--count", 3),
        *("--device", "cpu", "--out", "f.npy"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = features.load(tmp_path / "f.npy")
    assert found.values.shape == (3, 1280)
    assert isinstance(found.values, np.memmap)
    described = json.loads((tmp_path / "f.json").read_text())
    assert (described["extractor"], described["format"], described["count"]) == (NAME, "array", 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg", "expected EXTRACTOR.RESIZE.FORMAT"),
        ("vgg.clean.array", "unknown extractor 'vgg'"),
        (f"{NAME}.pytorch.array", "expected one of clean, torch_fidelity, found 'pytorch'"),
        (f"{NAME}.clean.gif", "expected one of array, png, jpeg, found 'gif'"),
    ],
)
def test_a_space_that_does_not_exist_is_told(name, message):
    with pytest.raises(UserError, match=message):
        Space.parse(name)


def test_protocols_are_known_replaced_or_ones_own():
    paper = protocols.resolve("paper", {}, "p")
    assert (str(paper.space), paper.n_fake, paper.n_real) == (
        "inception_v3.pytorch.jpeg",
        50000,
        None,
    )
    assert [str(s) for s in paper.checked_spaces] == [
        "inception_v3.tensorflow.jpeg",
        "inception_v3.torch_fidelity.jpeg",
    ]
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


def test_features_that_were_not_made_alike_are_not_compared(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 3))
    save_features(tmp_path / "a.npy", values)
    save_features(tmp_path / "b.npy", values, format="jpeg")
    done = fpa("score", ".", "--fake", "a.npy", "--real", "b.npy", "--out", "s.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "not made alike: format is jpeg and array" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(UserError, match="n_real is 9, but there are only 5"):
        scores.choose(features.load(tmp_path / "a.npy"), 9, 0)
    assert len(scores.choose(features.load(tmp_path / "a.npy"), 2, 0).values) == 2


@pytest.fixture(scope="module")
def painter():
    from fpa.models.painter import Painter, PainterSettings

    torch.manual_seed(0)
    return Painter(16, 1, PainterSettings(steps=8, latent_dim=16, hidden_size=32)).eval()


def test_a_score_depends_on_neither_threads_nor_batch_size(painter, about, monkeypatch, tmp_path):
    """From latents to FID, once with one thread and once with two and other batches."""
    real = noise_images(80, seed=9)
    found = []
    before = torch.get_num_threads()
    try:
        for threads, batch in ((1, 64), (2, 13)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(features, "BATCH", batch)
            images = {"fake": sampling.sample(painter, 16, 80, 0, CPU), "real": real}
            for name, array in images.items():
                features.compute(array, SPACE, about, CPU, tmp_path / f"{name}.npy", {})
            values = [features.load(tmp_path / f"{name}.npy").values for name in images]
            found.append(distances.frechet_of(*values))
    finally:
        torch.set_num_threads(before)
    assert found[0] == pytest.approx(found[1], rel=1e-6)
