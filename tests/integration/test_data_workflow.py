"""Data sets through Snakemake: fetched, prepared, left alone, or asked for before anything runs."""

import io
import json
import zipfile

import lmdb
import pytest
import yaml
from conftest import encode, fpa, fpa_refused, png, snakemake
from PIL import Image

from fpa.data.sources import SOURCES, store_name
from fpa.data.store import open_store
from fpa.experiment.plan import Plan


def with_datasets(tiny: dict, **datasets) -> dict:
    return {**tiny, "datasets": datasets}


def store_of(config: dict) -> str:
    experiment = Plan(config)
    (dataset,) = experiment.datasets.values()
    return f"data/{store_name(dataset)}"


@pytest.fixture
def church(photographs, tmp_path):
    """A small LSUN archive where the official one is looked for."""
    name = "church_outdoor_train_lmdb"
    with lmdb.open(str(tmp_path / name), map_size=1 << 24) as place, place.begin(write=True) as t:
        for i, pixels in enumerate(photographs):
            t.put(f"{i:040x}".encode(), encode(pixels, "WEBP"))
    archive = tmp_path / "work/data/archives" / SOURCES["lsun_church"].archive
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(tmp_path / name / "data.mdb", f"{name}/data.mdb")
    return archive


def test_an_archive_is_fetched_only_while_it_is_needed(tiny, church):
    folder = church.parent.parent.parent
    config = with_datasets(tiny, lsun_church={"resolution": 16, "count": 40})
    target = f"{store_of(config)}/manifest.json"
    done = snakemake(config, folder, "-n", target)
    assert "Preparing lsun_church-16px" in done.stdout + done.stderr
    assert "Fetching" not in done.stdout + done.stderr
    done = snakemake(config, folder, target)
    assert done.returncode == 0, done.stderr
    images, manifest = open_store(folder / store_of(config))
    assert images.shape == (40, 3, 16, 16)
    assert manifest.source.kind == "lmdb"
    # What is prepared needs its archive no more.
    church.unlink()
    done = snakemake(config, folder, "-n", target)
    assert "Nothing to be done" in done.stdout + done.stderr
    other = with_datasets(tiny, lsun_church={"resolution": 32, "count": 40})
    done = snakemake(other, folder, "-n", f"{store_of(other)}/manifest.json")
    assert "Fetching church_outdoor_train_lmdb.zip" in done.stdout + done.stderr


def test_archives_that_a_person_must_fetch_are_asked_for_before_anything_runs(tiny, tmp_path):
    names = ("celeba", "metfaces", "afhq_cat")
    config = with_datasets(tiny, **{name: {"resolution": 64} for name in names})
    done = snakemake(config, tmp_path)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "there is no" in line]
    assert len(lines) == 2
    assert "get img_align_celeba.zip (1.4 GB" in lines[0]
    assert "https://github.com/NVlabs/metfaces-dataset" in lines[1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_images_of_ones_own_need_four_lines(tiny, photographs, tmp_path):
    (tmp_path / "photos").mkdir()
    for i, pixels in enumerate(photographs):
        (tmp_path / "photos" / f"{i}.png").write_bytes(png(pixels))
    mine = {"source": "folder", "path": "photos", "resolution": 16}
    config = with_datasets(tiny, mine=mine)
    done = snakemake(config, tmp_path, f"{store_of(config)}/manifest.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / store_of(config) / "manifest.json").read_text())["count"] == 40
    (tmp_path / "config.yaml").write_text((tmp_path / "tiny.yaml").read_text())
    done = fpa("inspect", "mine", cwd=tmp_path)
    assert "40 of 3 x 16 x 16, uint8" in done.stdout
    sheet = Image.open(io.BytesIO((tmp_path / store_of(config) / "contact-sheet.png").read_bytes()))
    assert sheet.mode == "RGB"
    done = fpa("prepare", "mine", "resolution=8", cwd=tmp_path)
    assert "mine: 40 images of 8 px in data/mine-8px-" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digit"], "knows a data set 'digit'; did you mean 'digits'?"),
        (["celeba", "path"], "expected settings as key=value, found path"),
        (["celeba", "resolution=65"], "expected one of 8, 16, 32, 64, 128, 256, found 65"),
        (["celeba", "reslution=64"], "unknown key; did you mean 'resolution'?"),
        (["mine", "source=folder"], "source folder needs a path"),
        (["digits", "path=x.zip"], "digits come with scikit-learn; leave path out"),
        (["celeba", "path=nowhere.zip"], "there is no nowhere.zip"),
        (["afhq_cat"], "`python -m fpa download afhq_cat` fetches it"),
    ],
)
def test_mistakes_by_hand_are_one_line(tiny, tmp_path, words, message):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny))
    done = fpa_refused("prepare", *words, cwd=tmp_path)
    assert message in done.stderr
