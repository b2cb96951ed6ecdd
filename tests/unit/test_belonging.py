"""What is put together belongs together: data sets, stores, runs, features, weights, score files."""

import json
import os
import shutil
from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
import yaml
from conftest import fpa, fpa_ok, fpa_refused, images_dataset, png

import fpa as library
from fpa.core.errors import UserError
from fpa.core.files import write_json
from fpa.data.prepare import prepare
from fpa.data.sources import store_name
from fpa.data.store import open_store
from fpa.experiment.plan import Plan
from fpa.runs.folder import RunFolder
from fpa.training.loop import Training

SPACE = "thumbnails-16px.clean.array"


# A data set is the same however its path is spelt ---------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch, photographs) -> Path:
    """The working directory, with two photographs in a folder of it."""
    folder = tmp_path / "work" / "photos"
    folder.mkdir(parents=True)
    for number, pixels in enumerate(photographs[:2]):
        (folder / f"{number}.png").write_bytes(png(pixels))
    monkeypatch.chdir(folder.parent)
    return folder.parent


def planned(tiny: dict, path: str) -> tuple[str, str]:
    """The store and the run of a configuration that spells its data set's path so."""
    tiny["datasets"] = {"mine": {"source": "folder", "path": path, "resolution": 16}}
    experiment = Plan(tiny)
    return store_name(experiment.datasets["mine"]), experiment.runs[0].digest


SPELLINGS = ["photos/", "./photos", "photos/.", "photos//", "other/../photos", "../work/photos"]


@pytest.mark.parametrize("spelling", [*SPELLINGS, "{place}/photos", "{place}/./photos/"])
def test_a_spelling_makes_no_other_run(place, tiny, spelling):
    # As it was named before spellings were compared.
    assert planned(tiny, "photos")[0] == "mine-16px-9cde6eeb99"
    assert planned(tiny, spelling.format(place=place)) == planned(tiny, "photos")


@pytest.mark.parametrize("spelling", ["~/photos", "../elsewhere/photos", "/somewhere/photos"])
def test_a_path_that_leads_elsewhere_is_named_as_before(place, tiny, spelling):
    dataset = images_dataset(Path(spelling)).model_copy(update={"path": spelling})
    assert planned(tiny, spelling)[0] == store_name(dataset)
    assert planned(tiny, spelling + "/") == planned(tiny, spelling)


def test_what_is_prepared_is_found_by_its_place(place, tiny):
    """Also where it was prepared under a spelling that is written in another way today."""
    old = images_dataset(Path("photos")).model_copy(update={"path": "photos/"})
    prepare(old, Path("data") / store_name(old))
    Path("link").symlink_to("photos")
    found = {planned(tiny, path) for path in ("photos", "photos/", "link", str(place / "link"))}
    assert {store for store, _ in found} == {store_name(old)}
    assert len(found) == 1
    # Other images, or other settings, are another data set.
    shutil.copytree("photos", "others")
    assert planned(tiny, "others")[0] != store_name(old)


def test_a_data_set_is_not_prepared_over_another(place):
    settings = ("source=folder", "path=photos", "resolution=16", "--no-config", "--out", "o")
    fpa_ok("prepare", "mine", *settings, cwd=place)
    before = {path.name: path.read_bytes() for path in Path("o").iterdir()}
    words = ("resolution=16", "channels=1", "--no-config", "--out", "o")
    for more in ((), ("--verify",)):
        done = fpa_refused("prepare", "digits", *words, *more, cwd=place)
        assert "o holds another data set than digits: mine with" in done.stderr
    again = fpa("prepare", "mine", *settings[:1], f"path={place}/photos/", *settings[2:], cwd=place)
    assert "prepared already" in again.stderr
    assert {path.name: path.read_bytes() for path in Path("o").iterdir()} == before


def test_an_array_that_something_else_has_made_is_left_alone(place):
    Path("o").mkdir()
    Path("o/images.npy").write_bytes(b"mine")
    words = ("resolution=16", "channels=1", "--no-config", "--out", "o")
    assert "would be overwritten" in fpa_refused("prepare", "digits", *words, cwd=place).stderr
    assert [path.name for path in Path("o").iterdir()] == ["images.npy"]
    assert Path("o/images.npy").read_bytes() == b"mine"


# A run and what it is trained with ------------------------------------------------------------


@pytest.fixture
def by_hand(small, tmp_path, digits, thumbnails) -> tuple[dict, Path, Path]:
    """A configuration, the folder of its one run, written by `plan`, and its prepared images."""
    small["training"]["kimg"] = 0.016
    small["training"]["watch_kimg"] = 0.008
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(small))
    fpa_ok("plan", "config.yaml", "--write", cwd=tmp_path)
    experiment = Plan(small)
    store = shutil.copytree(digits, tmp_path / experiment.data / digits.name)
    return small, tmp_path / experiment.results / experiment.runs[0].folder, store


def trained(folder: Path, store: Path, *words: object):
    run = folder / "run.json"
    return fpa("train", run, "--store", store, "--device", "cpu", *words, cwd=store.parent.parent)


def test_the_sequence_that_help_prints_leads_to_a_run_that_can_be_scored(by_hand, tmp_path):
    _, folder, store = by_hand
    done = trained(folder, store)
    assert done.returncode == 0, done.stderr
    assert RunFolder(folder).read_summary().best is not None
    # Where the workflow looks for them, and would make them.
    assert (store / f"features.{SPACE}.npy").exists()
    assert (store.parent / "extractors/thumbnails-16px.json").exists()
    words = ("--checkpoint", "best", "--count", 4, "--out", tmp_path / "samples.npy")
    fpa_ok("sample", folder, *words, cwd=tmp_path)


def other_store(folder: Path, **settings) -> Path:
    """A prepared data set that is not the run's."""
    source = folder / "others"
    source.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        (source / f"{number}.png").write_bytes(png(pixels))
    prepare(images_dataset(source, **settings), folder / "other")
    return folder / "other"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_is_trained_on_no_other_data_set(by_hand, tmp_path, channels):
    _, folder, _ = by_hand
    done = trained(folder, other_store(tmp_path, channels=channels))
    assert done.returncode == 1
    assert "holds another data set than digits: mine with" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == {"run.json"}


@pytest.mark.parametrize(
    ("space", "count", "changes", "reason"),
    [
        ("thumbnails-32px.clean.array", 0, {}, "have extractor thumbnails-32px"),
        ("thumbnails-16px.clean.jpeg", 0, {}, "have format jpeg"),
        (SPACE, 8, {}, "has features of other images than"),
        (SPACE, 0, {"images_sha256": "0"}, "has features of other images than"),
        (SPACE, 0, {"weights_sha256": "0"}, "have weights_sha256 0"),
        (SPACE, 0, {"stages": {"features": 0}}, "is of another version"),
    ],
)
def test_quick_scores_take_no_other_features(by_hand, tmp_path, space, count, changes, reason):
    _, folder, store = by_hand
    network, real = tmp_path / "network.json", tmp_path / "real.npy"
    extractor = space.partition(".")[0]
    fpa("extractor", extractor, "--out", network, cwd=tmp_path)
    words = ("--extractor", network, "--space", space, *(("--count", count) if count else ()))
    fpa_ok("features", store, *words, "--out", real, cwd=tmp_path)
    about = real.with_suffix(".json")
    write_json(about, {**json.loads(about.read_text()), **changes})
    done = trained(folder, store, "--real", real, "--extractor", network)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "state").exists()


@pytest.fixture
def finished(small, tmp_path) -> tuple[Path, Path]:
    """Two finished runs that differ in their seed: their folders."""
    small["seeds"], small["training"]["watch_kimg"] = [0, 1], 0
    small["evaluation"]["checkpoint"] = "last"
    folders = []
    for run in Plan(small).runs:
        folder = RunFolder(tmp_path / run.name)
        training = Training(run, None, "0" * 64, torch.device("cpu"), log_every=1)
        folder.write_result(training.result(1.0))
        folder.write_run(run)
        folders.append(folder.path)
    return folders[0], folders[1]


def test_a_run_is_not_trained_into_the_folder_of_another(finished, digits):
    one, two = finished
    before = (two / "weights.safetensors").read_bytes()
    done = fpa("train", one / "run.json", "--store", digits, "--out", two, cwd=one)
    assert done.returncode == 1
    assert "holds another finished run, seed1-" in done.stderr
    assert (two / "weights.safetensors").read_bytes() == before


def test_weights_are_those_of_the_runs_summary(finished, tmp_path):
    one, two = finished
    os.unlink(one / "weights.safetensors")
    shutil.copy(two / "weights.safetensors", one / "weights.safetensors")
    done = fpa("sample", one, "--out", "samples.npy", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not the file that" in done.stderr


def test_a_model_is_loaded_on_the_device_that_is_there(finished):
    model = library.load(finished[0], device="auto")
    assert library.paint(model, 2).shape == (2, 1, 16, 16)
    for device in ("gpu", "tpu", ""):
        with pytest.raises(UserError, match="expected auto, cpu"):
            library.load(finished[0], device=device)


# Samples, features and score files ------------------------------------------------------------


@pytest.fixture
def features(tmp_path, digits, thumbnails):
    """Samples and their features, and those of the digits; the function that compares them."""
    network = tmp_path / "network.json"
    fpa("extractor", "thumbnails-16px", "--out", network, cwd=tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 1, 16, 16), dtype=np.uint8)
    for name, made in zip(("samples", "others"), images, strict=True):
        np.save(tmp_path / f"{name}.npy", made)
    for name, source in (("fake", "samples.npy"), ("real", digits)):
        words = ("--extractor", network, "--space", SPACE, "--out", f"{name}.npy")
        fpa_ok("features", source, *words, cwd=tmp_path)

    def compare(samples: str, store: Path):
        words = ("--fake", "fake.npy", "--real", "real.npy", "--store", store, "--out", "n.npz")
        return fpa("neighbours", samples, *words, cwd=tmp_path)

    return compare


def test_neighbours_are_looked_for_among_the_images_of_the_features(features, tmp_path, digits):
    assert features("samples.npy", digits).returncode == 0
    for samples, store in (("others.npy", digits), ("samples.npy", other_store(tmp_path))):
        done = features(samples, store)
        assert done.returncode == 1
        assert "has the features of other images than" in done.stderr


@pytest.mark.parametrize(
    ("drawn", "scored", "known", "reason"),
    [
        ((1, "last", "ema"), (0, None), True, "of another run"),
        ((0, "last", "ema"), (0, "best"), True, "of another checkpoint"),
        ((0, "last", "raw"), (0, None), True, "of another network of the run"),
        ((0, "last", "ema"), (0, None), True, ""),
        ((1, "last", "ema"), (0, "best"), False, ""),
    ],
)
def test_a_score_is_of_the_runs_own_samples(
    features, finished, tmp_path, digits, drawn, scored, known, reason
):
    """As far as these say whose they are: samples of earlier versions do not."""
    for folder in finished:
        summary = RunFolder(folder).read_summary()
        images = open_store(digits)[1].images_sha256
        write_json(folder / "train.json", summary.with_values(images_sha256=images).as_json())
    run, checkpoint, which = drawn
    words = ("--checkpoint", checkpoint, "--which", which, "--count", 32, "--out", "drawn.npy")
    assert fpa("sample", finished[run], *words, cwd=tmp_path).returncode == 0
    if not known:
        about = json.loads((tmp_path / "drawn.json").read_text())
        for key in ("run", "images_sha256"):
            del about[key]
        write_json(tmp_path / "drawn.json", about)
    words = ("--extractor", "network.json", "--space", SPACE, "--out", "f.npy")
    assert fpa("features", "drawn.npy", *words, cwd=tmp_path).returncode == 0
    words = ("--fake", "f.npy", "--real", "real.npy", "--out", "score.json", "--groups", 2)
    more = ("--checkpoint", scored[1]) if scored[1] else ()
    done = fpa("score", finished[scored[0]], *words, *more, cwd=tmp_path)
    assert done.returncode == (1 if reason else 0), done.stderr
    assert reason in done.stderr
    assert (tmp_path / "score.json").exists() == (not reason)


@pytest.fixture
def score() -> dict:
    """The contents of a score file."""
    return made_up.entry("fpa", 0, {"fid": (1.0, 0.1)}, run="1" * 64, fake_sha256="2" * 64)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extractor", "thumbnails-32px"),
        ("checkpoint", "last"),
        ("n_fake", 64),
        ("n_real", 9),
        ("real_sha256", "5" * 64),
    ],
)
def test_a_mean_is_of_scores_that_were_measured_alike(score, tmp_path, key, value):
    write_json(tmp_path / "one.json", {**score, "n_real": 8, "real_sha256": "6" * 64})
    other = {"seed": 1, "run": "3" * 64, "fake_sha256": "4", "n_real": 8, "real_sha256": "6" * 64}
    write_json(tmp_path / "two.json", {**score, **other, key: value})
    done = fpa("table", "fid", "one.json", "two.json", "--out", "fid.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert f"but {key} is " in done.stderr
    assert not (tmp_path / "fid.csv").exists()


@pytest.mark.parametrize("second", ["one.json", "./one.json", "link.json", "copy.json"])
def test_a_table_shows_no_training_twice(score, tmp_path, second):
    write_json(tmp_path / "one.json", score)
    write_json(tmp_path / "copy.json", score)
    write_json(tmp_path / "two.json", {**score, "seed": 1, "run": "3" * 64, "fake_sha256": "4"})
    (tmp_path / "link.json").symlink_to("one.json")
    done = fpa("table", "fid", "one.json", second, "--out", "fid.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "as two" in done.stderr
    assert not (tmp_path / "fid.csv").exists()
    fpa_ok("table", "fid", "one.json", "two.json", "--out", "fid.csv", cwd=tmp_path)
