"""Any images scored by a protocol: as a workflow scores a run, from files, and against references."""

import json
import shutil

import numpy as np
import pytest
from conftest import fpa, fpa_ok, jpeg, png
from PIL import Image

import fpa as library
from fpa.core.errors import UserError
from fpa.evaluation import (
    distances,
    evaluate,
    features,
    image_sets,
    kernel_distances,
    precision_recall,
    reference,
)
from fpa.evaluation.extractors import base
from fpa.evaluation.features import FeatureInfo, Features
from fpa.evaluation.metrics import metrics_of_images
from fpa.evaluation.scores import Settings
from fpa.experiment.config import EvaluationSettings

OWN = {"extractor": "thumbnails-16px", "n_fake": 40}
"""A protocol whose network takes no time; the plugin is in tests/."""


pytestmark = pytest.mark.usefixtures("thumbnails")


def pictures(n: int, seed: int, size: int = 16) -> np.ndarray:
    """Smooth images (n, 3, size, size), so that their features differ in more than noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)
    return coarse.repeat(size // 4, axis=2).repeat(size // 4, axis=3)


def write(folder, images, encode=png, ending="png"):
    folder.mkdir()
    for i, image in enumerate(images):
        (folder / f"{i:03}.{ending}").write_bytes(encode(image.transpose(1, 2, 0)))
    return folder


def value(score, metric="fid"):
    return score["metrics"][metric]["value"]


def test_settings_are_those_of_an_experiment_where_none_is_given():
    expected = EvaluationSettings().model_dump()
    settings = Settings(metrics_of_images())._asdict()
    assert settings.pop("metrics") == metrics_of_images()
    assert settings == {key: expected[key] for key in settings}


def test_arrays_folders_and_archives_of_the_same_images_have_the_same_score(tmp_path):
    fake, real = pictures(40, 1), pictures(60, 2)
    np.save(tmp_path / "fake.npy", fake)
    folder = write(tmp_path / "fakes", fake)
    zipped = shutil.make_archive(str(tmp_path / "fakes"), "zip", folder)
    scores = [
        library.evaluate(images, real, OWN, data=tmp_path / "data", device="cpu")
        for images in (fake, tmp_path / "fake.npy", folder, zipped)
    ]
    for score in scores:
        assert score["metrics"] == scores[0]["metrics"]
        assert score["fake_sha256"] == image_sets.content_digest(fake)
        assert (score["n_real"], score["n_fake"], score["status"]) == (60, 40, "ok")
    # The network is an average over 4 x 4 px: its features are known without it.
    flat = [x[:, :, ::4, ::4].reshape(len(x), -1).astype(float) for x in (real, fake)]
    # torch's float32 sums give some 1e-6 of a distance of thousands.
    assert value(scores[0]) == pytest.approx(distances.frechet_of(*flat), rel=1e-4)
    manifold = precision_recall.manifold(flat[0][precision_recall.subset(60, 40, 0)])
    expected = precision_recall.precision_recall(manifold, flat[1])
    assert (value(scores[0], "precision"), value(scores[0], "recall")) == expected


def test_only_as_many_images_are_scored_as_the_protocol_takes(tmp_path, caplog):
    fake, real = pictures(50, 1), pictures(60, 2)
    whole = library.evaluate(fake, real, OWN, data=tmp_path)
    assert whole["metrics"] == library.evaluate(fake[:40], real, OWN, data=tmp_path)["metrics"]
    folder = write(tmp_path / "fakes", fake)
    assert library.evaluate(folder, real, OWN, data=tmp_path)["metrics"] == whole["metrics"]
    assert "takes" not in caplog.text
    library.evaluate(fake[:30], real, OWN, data=tmp_path)
    assert "protocol own takes 40 images, found 30" in caplog.text


def test_files_that_are_jpeg_are_not_compressed_a_second_time(tmp_path, caplog):
    fake, real = pictures(40, 1), pictures(60, 2)
    protocol = {**OWN, "format": "jpeg"}
    expected = library.evaluate(fake, real, protocol, data=tmp_path)
    saved = write(tmp_path / "jpegs", fake, jpeg, "jpg")
    # Pillow's defaults are the protocol's.
    found = library.evaluate(saved, real, protocol, data=tmp_path)
    assert found["metrics"] == expected["metrics"]
    assert found["format"] == "jpeg"
    assert "JPEG" not in caplog.text
    library.evaluate(saved, real, OWN, data=tmp_path)
    assert "JPEG files, but protocol own has none" in caplog.text


def test_a_reference_scores_as_the_images_that_it_is_of(tmp_path):
    fake, real = pictures(40, 1), pictures(60, 2)
    context = evaluate.EvaluationContext(tmp_path, device="cpu")
    made = evaluate.make_reference(real, OWN, context, "photos", most=50)
    reference.save(tmp_path / "real.npz", made)
    expected = library.evaluate(fake, real, OWN, data=tmp_path)
    found = library.evaluate(
        fake, tmp_path / "real.npz", OWN, data=tmp_path, digest=made.digest[:16]
    )
    # Moments are of all images, not of the part that is kept; a file's arrays lie otherwise in memory.
    assert value(found) == pytest.approx(value(expected), rel=1e-10)
    assert found["dataset"] == "photos"
    assert (found["n_real"], found["reference_sha256"]) == (60, made.digest)
    assert found["real_sha256"] == expected["real_sha256"]
    assert found["n_precision_recall"] == 40
    part = made.part.values
    assert part.shape == (50, 48)
    samples = fake[:, :, ::4, ::4].reshape(40, 48).astype(np.float32)
    # As above: the network's averages are sums in float32.
    assert value(found, "kid") == pytest.approx(
        kernel_distances.kid_estimate(part, samples, 100, 1000, 1000, 0).value, rel=1e-4
    )


def test_a_reference_that_was_changed_or_is_another_is_refused(tmp_path):
    real = pictures(60, 2)
    context = evaluate.EvaluationContext(tmp_path, device="cpu")
    made = evaluate.make_reference(real, OWN, context, "photos", most=50)
    path = tmp_path / "real.npz"
    reference.save(path, made)
    loaded = reference.load(path)
    assert loaded.digest == made.digest
    np.testing.assert_array_equal(loaded.moments.covariance, made.moments.covariance)
    with pytest.raises(UserError, match=r"expected 00.*it is another reference"):
        reference.load(path, "00")
    with np.load(path) as saved:
        arrays = dict(saved)
    for key in ("mean", "covariance", "features"):
        changed = arrays[key].copy()
        changed.flat[3] += 1e-3
        np.savez(path, **{**arrays, key: changed})
        with pytest.raises(UserError, match="it is damaged, fetch it again"):
            reference.load(path)
    np.savez(path, x=np.ones(3))
    with pytest.raises(UserError, match="is not a reference of this version"):
        reference.load(path)
    reference.save(path, made)
    with pytest.raises(UserError, match="cannot be compared: format is array and jpeg"):
        library.evaluate(real, path, {**OWN, "format": "jpeg"}, data=tmp_path)
    with pytest.raises(UserError, match="is of 60 real images, but protocol own takes 50"):
        library.evaluate(real, path, {**OWN, "n_real": 50}, data=tmp_path)


def test_a_reference_needs_finite_features():
    about = {"images_sha256": "0"}
    with pytest.raises(UserError, match="found 3 images, 1 of them without"):
        reference.compute(Features(np.array([[1.0], [np.nan], [2.0]]), None, FeatureInfo(**about)))


def test_what_cannot_be_compared_is_said(tmp_path):
    fake, real = pictures(40, 1), pictures(60, 2)

    def refused(match, images=fake, real=real, protocol=OWN, **more):
        with pytest.raises(UserError, match=match):
            library.evaluate(images, real, protocol, data=tmp_path, **more)

    refused("the images are 32 x 32 px, the real ones 16 x 16 px", pictures(40, 1, 32))
    refused(
        "the images are 32 x 16 px, the real ones 16 x 16 px", pictures(40, 1).repeat(2, axis=3)
    )
    refused(
        r"nothing of what is asked .*: cmmd needs CLIP features .*; fid_infinity needs 192 samples, "
        "4 for each of 48 feature dimensions, found 40",
        metrics=["cmmd", "fid_infinity"],
    )
    refused("a distance needs 2 images on either side, found 1 real", real=real[:1])
    refused("features of all 9 real images are the same", real=real[:1].repeat(9, axis=0))
    mixed = write(tmp_path / "mixed", fake[:3])
    (mixed / "999.jpg").write_bytes(jpeg(fake[3].transpose(1, 2, 0)))
    refused("mixes JPEG and other files", mixed)
    sizes = write(tmp_path / "sizes", fake[:3])
    Image.new("RGB", (20, 16)).save(sizes / "999.png")
    refused("999.png is 20 x 16 px, but .*000.png is 16 x 16 px", sizes)
    broken = write(tmp_path / "broken", fake[:3])
    (broken / "001.png").write_bytes(b"no image")
    refused("cannot read .*001.png", broken)
    # Pillow would start Ghostscript for it.
    (broken / "001.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n")
    refused("cannot read .*001.png: no image", broken)


def test_images_are_scored_as_they_are_prepared(tmp_path, caplog):
    """By their contents, without what a system keeps beside them, and with what is wrong by its kind."""
    fake, real = pictures(40, 1), pictures(60, 2)
    expected = library.evaluate(fake, real, OWN, data=tmp_path)
    folder = write(tmp_path / "fakes", fake, ending="download")
    (folder / "001.download").rename(folder / "001")
    (folder / "._000.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    assert library.evaluate(folder, real, OWN, data=tmp_path)["metrics"] == expected["metrics"]
    assert "40 images; not taken: 1 .txt, 1 hidden or kept by the system" in caplog.text
    (folder / "002.download").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    with pytest.raises(UserError, match=r"002.download: HEIC; .*pillow-heif"):
        library.evaluate(folder, real, OWN, data=tmp_path)


def test_photographs_of_two_pictures_are_jpeg(tmp_path):
    """As phones take them, the second a smaller one: Pillow calls the format MPO."""
    folder = write(tmp_path / "mixed", pictures(2, 1), jpeg, "jpg")
    first, second = (Image.fromarray(p.transpose(1, 2, 0)) for p in pictures(2, 2))
    first.save(folder / "002.jpg", "MPO", save_all=True, append_images=[second])
    found = image_sets.open_images(folder)
    assert found[:].shape == (3, 3, 16, 16)
    assert found.jpeg


def test_missing_weights_are_said_before_images_are_read(tmp_path, monkeypatch):
    def missing(name, weights, out):
        raise UserError(f"{name} is missing, {weights} lacks it")

    monkeypatch.setattr(base, "obtain", missing)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=f"inception_v3 is missing, {broken} lacks it"):
        library.evaluate(broken, broken, "paper", data=tmp_path, weights=str(broken))
    with pytest.raises(UserError, match="inception_v3 is missing"):
        evaluate.make_reference(broken, "paper", evaluate.EvaluationContext(tmp_path), "x", 10)


def prepared(folder):
    words = ["digits", "resolution=16", "channels=1", "--no-config", "--workers", "1"]
    fpa_ok("prepare", *words, cwd=folder)
    return next((folder / "data").glob("digits-16px-*"))


def test_a_folder_is_scored_on_the_command_line_and_against_a_shipped_reference(tmp_path):
    """The whole way: a data set by its name, a reference of it, and the same numbers of both."""
    grey = pictures(40, 1)[:, :1].repeat(3, axis=1)
    write(tmp_path / "fakes", grey)
    (tmp_path / "tiny.yaml").write_text(
        "experiment: x\nplugins: [thumbnails]\n"
        "models: {dcgan: {class: 'baselines.dcgan:DCGAN'}}\n"
        "datasets: {digits: {resolution: 16, channels: 1}}\n"
        "evaluation: {protocols: {small: {extractor: thumbnails-16px, n_fake: 40}}}\n"
    )
    options = ("--config", "tiny.yaml", "--protocol", "small", "--device", "cpu")
    missing = fpa("score", "fakes", "--against", "digits", *options, cwd=tmp_path)
    assert missing.returncode == 1
    assert "is not prepared at 16 px; run python -m fpa prepare digits" in missing.stderr
    store = prepared(tmp_path)
    done = fpa_ok(
        "score", "fakes", "--against", "digits", *options, "--out", "a.json", cwd=tmp_path
    )
    assert done.stdout.startswith("digits fakes, protocol small (thumbnails-16px features, ")
    # The features of a prepared data set are where a workflow keeps them.
    assert (store / "features.thumbnails-16px.clean.array.npy").exists()
    fpa_ok("reference", "digits", *options, "--most", "100", cwd=tmp_path)
    (file,) = (tmp_path / "data" / "references").iterdir()
    digest = reference.load(file).digest
    assert file.name == f"digits-thumbnails-16px.clean.array-{digest[:10]}.npz"
    against = ("--against", file, "--digest", digest)
    fpa_ok("score", "fakes", *against, *options, "--out", "b.json", cwd=tmp_path)
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert value(one) == pytest.approx(value(two), rel=1e-10)
    assert one["dataset"] == two["dataset"] == "digits"
    assert (one["n_real"], two["n_real"]) == (1797, 1797)
    assert two["reference_sha256"] == digest
    # Score files of folders go into tables and comparisons as those of runs do.
    done = fpa("compare", "a.json", "b.json", cwd=tmp_path)
    assert "A: digits fakes (" in done.stdout
    done = fpa_ok("table", "fid", "a.json", "b.json", "--out", "fid.csv", cwd=tmp_path)
    assert "fakes" in done.stdout
    other = fpa("score", "fakes", "--against", "digitz", *options, cwd=tmp_path)
    assert "did you mean 'digits'" in other.stderr
    run = fpa("score", "fakes", cwd=tmp_path)
    assert "scoring a run takes --fake" in run.stderr


def test_features_of_a_data_set_that_changed_are_refused(tmp_path):
    store = prepared(tmp_path)
    context = evaluate.EvaluationContext(tmp_path / "data", device="cpu")
    protocol = evaluate.resolve(OWN)
    images = image_sets.open_images(store)
    assert len(context.real_features(store, protocol, images).values) == 1797
    path = store / f"features.{protocol.space}.npy"
    about = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**about, "images_sha256": "0"}))
    with pytest.raises(UserError, match="has features of other images"):
        context.real_features(store, protocol, images)
    assert features.load(path).info.images_sha256 == "0"
