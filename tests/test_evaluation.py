"""Samples, features and distances: against known answers, a second library, and themselves."""

import functools
import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from conftest import fpa
from torch import nn

from fpa.errors import UserError
from fpa.evaluation import extractors, features, sampling, scores

CPU = torch.device("cpu")
NAME = "efficientnet_lite0-32px"


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    path = tmp_path_factory.mktemp("extractor") / "e.json"
    extractors.obtain(NAME, None, path)
    return extractors.load(path, CPU)


def noise_images(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, 16, 16), dtype=np.uint8)


def gaussian(n: int, d: int, seed: int, shift: float = 0, scale: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (n, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 20), (300, 300, 64), (40, 90, 64)])
def test_the_symmetric_frechet_distance_equals_clean_fids(n, m, d):
    mixing = gaussian(d, d, 1)
    real, fake = gaussian(n, d, 2) @ mixing, gaussian(m, d, 3, 0.3, 1.4) @ mixing
    # With fewer samples than dimensions the square root of a singular product loses digits.
    tolerance = 1e-6 if min(n, m) > d else 1e-3
    assert scores.frechet_quick(real, fake) == pytest.approx(
        scores.frechet(real, fake), rel=tolerance
    )


def test_frechet_distance_of_two_gaussians_is_the_closed_form():
    real, fake = gaussian(200_000, 4, 0), gaussian(200_000, 4, 1, 1.5, 2)
    # |difference of means|^2 + d (1 - 2)^2 for isotropic covariances.
    assert scores.frechet(real, fake) == pytest.approx(4 * 1.5**2 + 4, rel=0.02)


def test_a_set_has_no_distance_from_itself():
    real = gaussian(500, 16, 0)
    assert abs(scores.frechet(real, real)) < 1e-6
    assert abs(scores.frechet_quick(real, real)) < 1e-6


def test_kid_is_seeded_and_leaves_numpys_generator_alone():
    real, fake = gaussian(300, 8, 0), gaussian(300, 8, 1, 0.5)
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    first = scores.kernel(real, fake, 10, 100, 3)
    assert np.random.rand() == expected
    assert scores.kernel(real, fake, 10, 100, 3) == first
    assert scores.kernel(real, fake, 10, 100, 4) != first


def test_kid_over_the_whole_sets_equals_the_double_sum():
    x, y = gaussian(30, 5, 0), gaussian(30, 5, 1, 0.5)

    def k(a, b):
        return (float(a @ b) / 5 + 1) ** 3

    n = 30
    same = sum(k(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j)
    cross = sum(k(a, b) for a in x for b in y)
    expected = same / (n * (n - 1)) - 2 * cross / n**2
    assert scores.kernel(x, y, 1, 30, 0) == pytest.approx(expected, rel=1e-4)


def test_features_equal_clean_fids_own_pipeline(extractor, tmp_path):
    """clean-fid's folder reader with our network, one PNG an image, gives the same numbers."""
    from cleanfid import fid
    from PIL import Image

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
    np.testing.assert_allclose(features.compute(images, extractor), theirs, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_what_else_is_in_the_batch(extractor):
    images = noise_images(70)
    together = features.compute(images, extractor)
    alone = features.compute(images[66:67], extractor)
    assert together.shape == (70, 1280)
    np.testing.assert_allclose(together[66:67], alone, rtol=1e-4, atol=1e-5)


def test_grey_images_are_their_own_three_channels(extractor):
    images = noise_images(3)
    np.testing.assert_array_equal(
        features.compute(images, extractor), features.compute(images.repeat(3, 1), extractor)
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
    from PIL import Image
    from torchvision.utils import save_image

    images = torch.linspace(-0.2, 1.2, 48).view(1, 3, 4, 4)
    save_image(images, tmp_path / "x.png", padding=0)
    saved = np.asarray(Image.open(tmp_path / "x.png")).transpose(2, 0, 1)
    assert np.array_equal(sampling.to_uint8(images)[0], saved)


def test_features_of_other_extractors_are_not_compared(tmp_path):
    for name in ("a", "b"):
        about = {"extractor": {"name": name, "weights_sha256": ""}, "images_sha256": ""}
        features.save(tmp_path / f"{name}.npz", gaussian(5, 3, 0), about)
    done = fpa("score", ".", "--fake", "a.npz", "--real", "b.npz", "--out", "s.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "different extractors (a, b)" in done.stderr
    assert "Traceback" not in done.stderr


# Inception: no weights can be fetched here, so a small network in the real file's format.


class Layers(nn.Module):
    def forward(self, x):
        return torch.cat([x.mean((2, 3)), x.var((2, 3))], 1).repeat(1, 342)[:, :2048]


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, x, return_features: bool = False):
        return self.layers(x)


@pytest.fixture
def inception_file(tmp_path, monkeypatch):
    path = tmp_path / "given" / extractors.INCEPTION_FILE
    path.parent.mkdir()
    torch.jit.script(Inception()).save(str(path))
    monkeypatch.setattr(
        extractors, "INCEPTION_SHA256", hashlib.sha256(path.read_bytes()).hexdigest()
    )
    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    return path


def no_download(monkeypatch):
    def refuse(*_, **__):
        raise UserError("no route to host")

    monkeypatch.setattr(extractors, "fetch", refuse)


def test_inception_runs_from_a_configured_file(inception_file, tmp_path, monkeypatch):
    no_download(monkeypatch)
    about = extractors.obtain("inception_v3", str(inception_file), tmp_path / "e.json")
    assert about["input_size"] == 299
    monkeypatch.setattr(extractors.tempfile, "tempdir", str(tmp_path))
    images = noise_images(3, 3)
    found = features.compute(images, extractors.load(tmp_path / "e.json", CPU))
    assert found.shape == (3, 2048)
    means = images.astype(np.float64).mean((2, 3))
    np.testing.assert_allclose(found[:, :3], (means - 128) / 128, atol=0.02)


def test_inception_is_found_in_a_cache(inception_file, tmp_path, monkeypatch):
    no_download(monkeypatch)
    cache = tmp_path / "empty" / "hub" / "checkpoints" / extractors.INCEPTION_FILE
    cache.parent.mkdir(parents=True)
    inception_file.rename(cache)
    about = extractors.obtain("inception_v3", None, tmp_path / "e.json")
    assert about["weights"] == str(cache)


def test_inception_is_downloaded_and_checked(inception_file, tmp_path, monkeypatch):
    import cleanfid.downloads_helper

    handler = functools.partial(SimpleHTTPRequestHandler, directory=inception_file.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{inception_file.name}"
    monkeypatch.setattr(cleanfid.downloads_helper, "inception_url", url)
    about = extractors.obtain("inception_v3", None, tmp_path / "new" / "e.json")
    assert about["weights"] == str(tmp_path / "new" / extractors.INCEPTION_FILE)
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"with SHA256 .*expected 0000.*set inception_weights"):
        extractors.obtain("inception_v3", None, tmp_path / "other" / "e.json")
    assert not list((tmp_path / "other").glob("*"))
    server.shutdown()


def test_inception_that_cannot_be_had_says_what_to_do(inception_file, tmp_path, monkeypatch):
    no_download(monkeypatch)
    with pytest.raises(UserError, match=r"no route to host.*set inception_weights"):
        extractors.obtain("inception_v3", None, tmp_path / "e.json")
    with pytest.raises(UserError, match="there is no file"):
        extractors.obtain("inception_v3", str(tmp_path / "nothing.pt"), tmp_path / "e.json")
    inception_file.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"has SHA-256 .*expected"):
        extractors.obtain("inception_v3", str(inception_file), tmp_path / "e.json")


def test_weights_that_changed_are_refused(inception_file, tmp_path):
    extractors.obtain("inception_v3", str(inception_file), tmp_path / "e.json")
    inception_file.write_bytes(b"something else")
    with pytest.raises(UserError, match="missing or was changed"):
        extractors.load(tmp_path / "e.json", CPU)


def test_features_file_says_what_made_it(extractor, tmp_path):
    features.save(tmp_path / "f.npz", gaussian(3, 2, 0), {"extractor": extractor.identity})
    _, about = features.load(tmp_path / "f.npz")
    assert about["extractor"]["name"] == NAME
    assert len(json.dumps(about)) > 64
