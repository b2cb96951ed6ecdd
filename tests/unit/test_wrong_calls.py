"""Wrong calls of every verb: each ends in one line and exit code 1 or 2, and no file is changed or left."""

import copy
import importlib
import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, fpa, plugins_dropped, png

from fpa import library
from fpa.cli import VERBS
from fpa.core.errors import UserError

SPACE = "thumbnails-16px.clean.array"
SCORE = "--fake fake.npy --real real.npy --groups 2 --kid-subset-size 8"


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits) -> Path:
    """A folder with one small file of each kind, as the verbs make them; not to be changed."""
    place = tmp_path_factory.mktemp("place")
    config = copy.deepcopy(TINY)
    config["models"] = {"fpa": config["models"]["fpa"]}
    config["training"].update(watch_kimg=0, kimg=0.016)
    config["evaluation"]["checkpoint"] = "last"
    config["evaluation"]["protocols"] = {"small": {"extractor": "thumbnails-16px", "n_fake": 32}}
    (place / "small.yaml").write_text(yaml.safe_dump(config))
    shutil.copytree(digits, place / "store")
    from_network = f"--extractor network.json --space {SPACE} --out"
    with plugins_dropped():
        importlib.import_module("thumbnails")
        for words in (
            "plan small.yaml --write",
            "train results/tiny/runs/digits/fpa/RUN/run.json --store store --out run",
            "sample run --count 32 --out samples.npy",
            "extractor thumbnails-16px --out network.json",
            f"features samples.npy {from_network} fake.npy",
            f"features store {from_network} real.npy",
            f"score run {SCORE} --out score.json",
            "cost results/tiny/runs/digits/fpa/RUN/run.json --seconds 0 --out cost.json",
            "radii real.npy --most 20 --out radii.npz",
            "reference samples.npy --protocol small --config small.yaml --out reference.npz",
            "export run --out export",
        ):
            run = next(place.glob("results/tiny/runs/digits/fpa/*"), place).name
            done = fpa(*words.replace("RUN", run).split(), cwd=place)
            assert done.returncode == 0, done.stderr
    shutil.copyfile(next(place.glob("results/**/run.json")), place / "run.json")
    shutil.copyfile(place / "score.json", place / "run" / "score-small.json")
    (place / "data" / "extractors").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(place / "network.json", place / "data" / "extractors" / "thumbnails-32px.json")
    random = np.random.default_rng(0)
    for name, array in {
        "latents": random.normal(size=(4, 8)),
        "no-latents": np.zeros((0, 8)),
        "wide-latents": np.zeros((4, 9)),
        "nan-latents": np.full((4, 8), np.nan),
        "floats": np.zeros((4, 1, 16, 16)),
        "larger": np.zeros((4, 1, 32, 32), np.uint8),
        "wide": np.zeros((4, 1, 16, 32), np.uint8),
        "two": np.zeros((4, 2, 16, 16), np.uint8),
        "no-images": np.zeros((0, 1, 16, 16), np.uint8),
        "scalar": np.array(1.0),
        "half": np.load(place / "samples.npy")[:16],
    }.items():
        np.save(place / f"{name}.npy", array)
    np.save(place / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(place / "arrays.npz", some=np.zeros(3))
    (place / "text.txt").write_text("no file of these\n")
    (place / "broken.json").write_text("{")
    (place / "list.json").write_text("[1, 2]")
    (place / "broken.npy").write_bytes((place / "fake.npy").read_bytes()[:100])
    (place / "empty").mkdir()
    (place / "photos").mkdir()
    for number in range(4):
        pixels = random.integers(0, 256, (16, 16, 3), np.uint8)
        (place / "photos" / f"{number}.png").write_bytes(png(pixels))
    shutil.copyfile(place / "photos" / "0.png", place / "image.png")
    with zipfile.ZipFile(place / "text.zip", "w") as archive:
        archive.writestr("text.txt", "no image")
    # A user's own files, of names that a verb could be given for what it writes.
    for name in ("own.csv", "notes.md", "own.html", "own.tar.gz", "own.safetensors", "own.log"):
        (place / name).write_text("mine\n")
    (place / "octal.yaml").write_text(
        (place / "small.yaml").read_text().replace("batch_size: 8", "batch_size: 010")
    )
    (place / "minutes.yaml").write_text(
        (place / "small.yaml").read_text().replace("kimg: 0.016", "kimg: 1:30")
    )
    # Samples whose .json is of another kind, or of other samples; features that are no numbers.
    for name, text in {
        "odd": "[1]",
        "far": '{"not_finite": [99]}',
        "all": '{"not_finite": 3}',
    }.items():
        shutil.copyfile(place / "samples.npy", place / f"{name}.npy")
        (place / f"{name}.json").write_text(text)
    np.save(place / "stale.npy", np.load(place / "samples.npy")[::-1])
    shutil.copyfile(place / "samples.json", place / "stale.json")
    np.save(place / "nan.npy", np.full((1797, 48), np.nan, np.float32))
    shutil.copyfile(place / "real.json", place / "nan.json")
    (place / "loop").symlink_to("loop")
    return place


@pytest.fixture
def place(made, tmp_path) -> Path:
    """A copy of it, and a pipe that nobody writes to."""
    copy = Path(shutil.copytree(made, tmp_path / "place", symlinks=True))
    os.mkfifo(copy / "pipe.npy")
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    """All files and folders below a folder, and what is in them."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


FEATURES = f"--extractor network.json --space {SPACE}"

CALLS = """
plan nowhere.yaml
plan run
plan fake.npy
plan list.json
plan broken.json
plan text.txt
plan image.png
plan small.yaml --rate nan --cost
plan small.yaml --rate fpa=-1 --cost
plan small.yaml --rate many --cost
plan small.yaml --rate other=5 --cost
plan small.yaml --watts inf
plan small.yaml --watts -3
plan small.yaml --together 1.5
plan /dev/zero
plan pipe.npy
plan loop
plan octal.yaml
plan minutes.yaml
plan small.yaml --watts 100
plan small.yaml --rate 100
plan small.yaml --measure
plan small.yaml --together 2
clean nowhere.yaml
clean run
clean text.txt
models fpa.models
models fpa.models:Nothing
models nothing.at.all:FPA
models fpa.core.files:digest
models json:dumps
models FPA
models .models:FPA
download celeb
download digits
download afhq_cat --config nowhere.yaml
download lsun_church --config image.png
download lsun_church --out empty
prepare digits --config nowhere.yaml
prepare digits --config small.yaml resolution=0 --out new
prepare digits --config small.yaml resolution=16.5 --out new
prepare digits --config small.yaml resolution=nan --out new
prepare digits --config small.yaml channels=2 --out new
prepare digits --config small.yaml sharpness=2 --out new
prepare digits --config small.yaml resolution --out new
prepare digits --config small.yaml --out text.txt
prepare digits --config small.yaml --out samples.npy
prepare digits --config small.yaml --out run
prepare digits --config small.yaml --out export
prepare digits --config small.yaml --workers 1e3
prepare digits --config small.yaml --workers 1000000
prepare digits --config small.yaml channels=1 channels=3 --out new
prepare other --config small.yaml
prepare mine --no-config source=folder path=text.txt resolution=16 --out new
prepare mine --no-config source=folder path=nowhere resolution=16 --out new
prepare mine --no-config source=folder path=empty resolution=16 --out new
prepare mine --no-config source=folder path=text.zip resolution=16 --out new
prepare mine --no-config source=folder path=samples.npy resolution=16 --out new
prepare digits --verify --no-config --out empty
prepare digits --verify --no-config --out run
prepare digits --no-config --config small.yaml --out new
prepare mine --no-config source=folder path=pipe.npy resolution=16 --out new
prepare mine --no-config source=folder path=loop resolution=16 --out new
prepare mine --no-config source=folder path=photos resolution=010 --out new
prepare ../mine --no-config source=folder path=photos resolution=16
prepare a/b --no-config source=folder path=photos resolution=16
prepare mine --no-config source=folder path=photos resolution=16 --out photos
prepare mine --no-config source=folder path=image.png resolution=16 --out new
inspect nowhere
inspect text.txt
inspect run
inspect pipe.npy
inspect photos --config small.yaml
inspect store resolution=16
inspect store --no-config
inspect store --sheet image.png
inspect store --count 0
inspect store --sheet sheet.json
inspect store --sheet samples.npy
inspect store --sheet empty
real-samples nowhere --out x.npy
real-samples run --out x.npy
real-samples samples.npy --out x.npy
real-samples store --out x.json
real-samples store --out store/images.npy
real-samples store --out pipe.npy
real-samples store --out loop/x.npy
real-samples store --out x
real-samples store --out empty
real-samples store --count 1e3 --out x.npy
train nowhere.json --store store
train run --store store
train score.json --store store
train broken.json --store store
train list.json --store store
train small.yaml --store store
train fake.npy --store store
train run.json --store nowhere
train run.json --store store --out loop
train pipe.npy --store store
train run.json --store run
train run.json --store samples.npy
train run.json --store store --out text.txt
train run.json --store store --out store
train run.json --store store --out export
train run.json --store store --log-every 0
train run.json --store store --gpus -1
train run.json --store store --gpus 3
train /dev/zero --store store
train run.json --store store --threads 1000000
train run.json --store store --checkpoint-kimg -1
train run.json --store store --precision half
train run.json --store store --loggers none,paper
train run.json --store store --real fake.npy
train run.json --store store --base run --out new
train run.json --store store --finished empty --out new
train run.json --store store --device tpu
cost nowhere.json --out x.json
cost run --out x.json
cost score.json --out x.json
cost run.json --out x.npy
cost run.json --out x.csv
cost run.json --out empty
cost run.json --out x.json --seconds inf
cost run.json --out x.json --seconds -1
cost run.json --out x.json --seconds 1e300
cost run.json --out x.json --precision half
export nowhere --out new
export empty --out new
export store --out new
export run.json --out new
export run --checkpoint best --out new
export run --checkpoint Best --out new
export run --out text.txt
export run --out run
export run --out store
import-official nowhere.pt --args text.txt --out new
import-official text.txt --args text.txt --out new
import-official fake.npy --args text.txt --out new
import-official nowhere.pt --args nowhere.txt --out new
import-official text.txt --args image.png --out new
import-official text.txt --args /dev/zero --out new
import-official pipe.npy --args text.txt --out new
import-official x.pt --args text.txt --out new --kimg nan
sample nowhere --out x.npy
sample store --out x.npy
sample run.json --out x.npy
sample run/weights.safetensors --out x.npy
sample run --out x.json
sample run --out store/images.npy
sample run --out x.npy --log pipe.npy
sample run --out x.npy --log image.png
sample run --out x.npy --log small.yaml
sample run --out x.npy --log own.log
sample run --out x.npz
sample run --out x.png
sample run --out x
sample run --out empty
sample run --out text.txt/x.npy
sample run --checkpoint best --out x.npy
sample export --which raw --out x.npy
sample run --which before_unet --out x.npy
sample run --seed 1.5 --out x.npy
sample run --count 2**3 --out x.npy
sample run --count 100000000000000 --out x.npy
sample run --latents nowhere.npy --out x.npy
sample run --latents empty --out x.npy
sample run --latents arrays.npz --out x.npy
sample run --latents no-latents.npy --out x.npy
sample run --latents wide-latents.npy --out x.npy
sample run --latents nan-latents.npy --out x.npy
sample run --latents scalar.npy --out x.npy
sample run --latents objects.npy --out x.npy
sample run --latents small.yaml --out x.npy
sample run --latents latents.npy --out x.json
sample run --latents latents.npy --out latents.npy
sample run --latents latents.npy --count 3 --out x.npy
sample run --threads 1000000 --out x.npy
artifact nothing run --count 2 --out x.npz
artifact paintings run --count 2 --out x.npy
artifact paintings run --count 2 3 --out x.npz
artifact interpolations run --count 2 --out x.npy
artifact interpolations run --count 2 1 --out x.npy
artifact live run --count 2 --out x.npz
artifact paintings nowhere --count 2 --out x.npz
artifact paintings run --count 0 --out x.npz
paint run --out x.npy
paint run --out x.json
paint run --latents arrays.npz --out x.npz
paint run --latents no-latents.npy --out x.npz
paint run --latents nan-latents.npy --out x.npz
paint run --latents latents.npy --out latents.npy
paint store --out x.npz
export-web run --out x.json
export-web run --out run/weights.safetensors
export-web run --out export/generator.safetensors
export-web run --out own.safetensors
export-web store --out x.safetensors
statistics run --out x.csv
statistics run --count -1 --out x.npz
export-web run --count 1000000000 --out x.safetensors
statistics empty --out x.npz
interpolate run --out x.npz
interpolate run --frames 1 --out x.npy
interpolate run --count 0 --out x.npy
interpolate run --count 1000000000 --out x.npy
path-length run --extractor network.json --count 4 --out x.json
path-length run --extractor score.json --count 4 --out x.json
path-length run --extractor fake.npy --count 4 --out x.json
path-length run --extractor nowhere.json --count 4 --out x.json
path-length run --extractor network.json --out x.npy
path-length export --extractor network.json --count 4 --out x.json
extractor inception --out x.json
extractor thumbnails --out x.json
extractor thumbnails-4px --out x.json
extractor thumbnails-016px --out x.json
extractor efficientnet_lite0-032px --out x.json
extractor thumbnails-16px --out x.npy
extractor thumbnails-16px --out empty
extractor thumbnails-16px --weights nowhere --out x.json
extractor inception_v3 --weights empty --out x.json
extractor dinov2_vits14 --weights nowhere --out x.json
extractor efficientnet_lite0-32.0px --out x.json
extractor thumbnails-16px --out score.json
extractor thumbnails-16px --out fake.json
cost run.json --out score.json
features samples.npy FEATURES --out score.npy
sample run --out fake.npy
sample run --out score.npy
score run SCORE --out cost.json
radii real.npy --out reference.npz
statistics run --out reference.npz
reference samples.npy --protocol small --config small.yaml --out radii.npz
neighbours samples.npy --fake fake.npy --real real.npy --out radii.npz
features nowhere.npy FEATURES --out x.npy
features pipe.npy FEATURES --out x.npy
features odd.npy FEATURES --out x.npy
features far.npy FEATURES --out x.npy
features all.npy FEATURES --out x.npy
features stale.npy FEATURES --out x.npy
features text.txt FEATURES --out x.npy
features small.yaml FEATURES --out x.npy
features arrays.npz FEATURES --out x.npy
features floats.npy FEATURES --out x.npy
features two.npy FEATURES --out x.npy
features no-images.npy FEATURES --out x.npy
features objects.npy FEATURES --out x.npy
features scalar.npy FEATURES --out x.npy
features run FEATURES --out x.npy
features empty FEATURES --out x.npy
features photos FEATURES --out x.npy
features samples.npy FEATURES --out x.json
features samples.npy FEATURES --out x.npz
features samples.npy FEATURES --out samples.npy
features samples.npy FEATURES --count 33 --out x.npy
features samples.npy --extractor network.json --space thumbnails --out x.npy
features samples.npy --extractor network.json --space thumbnails-16px.clean.gif --out x.npy
features samples.npy --extractor network.json --space thumbnails-16px.sharp.array --out x.npy
features samples.npy --extractor network.json --space thumbnails-32px.clean.array --out x.npy
features samples.npy --extractor network.json --out x.npy
features samples.npy --extractor score.json --space thumbnails-16px.clean.array --out x.npy
features samples.npy --extractor list.json --space thumbnails-16px.clean.array --out x.npy
features samples.npy --extractor samples.npy --space thumbnails-16px.clean.array --out x.npy
radii nowhere.npy --out x.npz
radii samples.npy --out x.npz
radii latents.npy --out x.npz
radii text.txt --out x.npz
radii nan.npy --out x.npz
radii real.npy --most 3 --out x.npz
radii real.npy --out x.npy
radii real.npy --seed -1 --out x.npz
reference nowhere
reference samples.npy --protocol ppl --config small.yaml --out x.npz
reference text.txt
reference run --config small.yaml
reference samples.npy --protocol smal --config small.yaml
reference samples.npy --protocol small --config small.yaml --out x.npy
reference no-images.npy --protocol small --config small.yaml --out x.npz
reference floats.npy --protocol small --config small.yaml --out x.npz
reference samples.npy --protocol small --config small.yaml --most -1
reference samples.npy --protocol small --config nowhere.yaml
score run
score nowhere SCORE --out x.json
score store SCORE --out x.json
score run.json SCORE --out x.json
score run --fake fake.npy --real real.npy --out x.csv
score run --fake fake.npy --real real.npy --out fake.npy
score run --fake samples.npy --real real.npy --out x.json
score run --fake fake.npy --real fake.npy --out x.json
score run --fake fake.npy --real latents.npy --out x.json
score run --fake fake.npy --real radii.npz --out x.json
score run SCORE --radii real.npy --metrics precision_recall --out x.json
score run SCORE --radii arrays.npz --metrics precision_recall --out x.json
score run SCORE --radii radii.npz --metrics precision_recall --out x.json
score run SCORE --metrics nothing --out x.json
score run SCORE --metrics ppl --out x.json
score run SCORE --metrics inception_score --out x.json
score run SCORE --digest abc --out x.json
score run SCORE --data store --out x.json
score run SCORE --weights empty --out x.json
score run SCORE --config small.yaml --out x.json
score run SCORE --checkpoint best --out x.json
score run SCORE --n-real 0 --out x.json
score run SCORE --n-real 100000 --out x.json
score run SCORE --kid-subsets 0 --out x.json
score run SCORE --kid-subsets 1000000000 --out x.json
score run SCORE --frechet other --out x.json
score run SCORE --check fake.npy real.npy --out x.json
score run SCORE --check fake.npy real.npy samples.npy real.npy --out x.json
score nowhere --against samples.npy --protocol small --config small.yaml
score photos --against nowhere --protocol small --config small.yaml
score photos --against samples.npy --protocol small --config small.yaml --checkpoint last
score pipe.npy --against samples.npy --protocol small --config small.yaml
score photos --against samples.npy --protocol other --config small.yaml
score text.txt --against samples.npy --protocol small --config small.yaml
score photos --against text.txt --protocol small --config small.yaml
score photos --against arrays.npz --protocol small --config small.yaml
score empty --against samples.npy --protocol small --config small.yaml
score larger.npy --against samples.npy --protocol small --config small.yaml
score wide.npy --against samples.npy --protocol small --config small.yaml
score floats.npy --against samples.npy --protocol small --config small.yaml
score no-images.npy --against samples.npy --protocol small --config small.yaml
score photos --against samples.npy --protocol small --config small.yaml --digest abc
score photos --against reference.npz --protocol small --config small.yaml --digest abc
score photos --against reference.npz --protocol small --config small.yaml --digest xyz
score photos --against samples.npy --protocol small --config small.yaml --out x.npy
score photos --against samples.npy --protocol small --config small.yaml --metrics ppl
score photos --against samples.npy --protocol small --config small.yaml --n-real 33
score photos --against samples.npy --protocol small --config small.yaml --fake fake.npy
compare nowhere run
compare empty run
compare run.json run
compare run/train.json run
compare fake.npy run
compare cost.json score.json
neighbours samples.npy --fake fake.npy --real real.npy --out x.npy
neighbours samples.npy --fake fake.npy --real latents.npy --out x.npz
neighbours half.npy --fake fake.npy --real real.npy --out x.npz
neighbours samples.npy --fake real.npy --real real.npy --out x.npz
neighbours samples.npy --fake fake.npy --real fake.npy --store store --out x.npz
neighbours samples.npy --fake fake.npy --real nan.npy --out x.npz
neighbours text.txt --fake fake.npy --real real.npy --out x.npz
neighbours arrays.npz --fake fake.npy --real real.npy --out x.npz
neighbours store --fake fake.npy --real real.npy --out x.npz
neighbours floats.npy --fake fake.npy --real real.npy --out x.npz
neighbours samples.npy --fake fake.npy --real real.npy --store run --out x.npz
table fid --out x.csv
table nothing score.json --out x.csv
table fid run/train.json --out x.csv
table fid cost.json --out x.csv
table fid run --out x.csv
table fid fake.npy --out x.csv
table fid pipe.npy --out x.csv
table fid score.json --out own.csv
table fid score.json --out notes.csv
table fid score.json --out run/history.csv
table fid list.json --out x.csv
table fid score.json --out x.json
table fid score.json --out x.md
table fid score.json --out x
table fid score.json --out empty
table fid score.json --published small.yaml --out x.csv
table fid score.json --published nowhere.csv --out x.csv
table fid score.json --published image.png --out x.csv
table fid score.json --results run --out x.csv
table fid score.json --results nowhere --out x.csv
table models score.json --out x.csv
table models run/train.json --out x.csv
table models list.json --out x.csv
table models fake.npy --out x.csv
table health --out x.csv
table health score.json --results results/tiny --out x.csv
figure nowhere loss
figure run loss
figure small.yaml loss
figure results/tiny los
figure results/tiny samples-digits
report nowhere
report run
report small.yaml
report results/tiny --out empty
report results/tiny --out x.json
report results/tiny --out own.html
report results/tiny --out samples.npy
status run.json
status fake.npy
status nowhere
status results --every nan --follow
status results/tiny --every 1e300 --follow
status results --json --html x.html
status results/tiny --html own.html
status results/tiny --every 3
status results --html x.json
status results --html empty
bundle nowhere
bundle run
bundle results/tiny --out x.json
bundle results/tiny --out empty
bundle results/tiny --out own.tar.gz
unpack nowhere.tar.gz
unpack text.txt
unpack text.zip
unpack pipe.npy
unpack samples.npy
unpack run
publish nowhere --out new
publish run --out new
publish results/tiny --out text.txt
publish results/tiny --out empty --licence
checklist nowhere
checklist run
checklist text.txt
verify nowhere
verify run
verify text.txt
verify run --rescore nan
verify run --data store
verify run --rescore 2
verify run --seed -1
sample run --out x.npy --log empty
features samples.npy FEATURES --out x.npy --log text.txt/log
"""


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_a_wrong_call_is_one_line_and_changes_nothing(place, thumbnails, call):
    before = contents(place)
    words = call.replace("FEATURES", FEATURES).replace("SCORE", SCORE).split()
    done = fpa(*words, cwd=place)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "error: " in done.stderr
    after = contents(place)
    assert after.keys() == before.keys()
    assert after == before


@pytest.mark.parametrize("left", [(), (".md",), (".md", ".tex"), (".md", ".tex", ".csv")])
def test_a_table_that_was_killed_is_made_again(place, left):
    for _ in range(2):
        assert fpa("table", "fid", "score.json", "--out", "t.csv", cwd=place).returncode == 0
        for ending in {".md", ".tex", ".csv"} - {*left}:
            (place / f"t{ending}").unlink()


@pytest.mark.parametrize(
    "call",
    [
        "status results/tiny --html page.html",
        "inspect store --sheet sheet.png",
        "export-web run --count 2 --out live.safetensors",
        "sample run --count 4 --out four.npy --log four.log",
    ],
)
def test_what_a_verb_has_made_it_makes_again(place, call):
    for _ in range(2):
        assert fpa(*call.split(), cwd=place).returncode == 0


OF_ANOTHER = json.dumps({"digest": "f" * 64, "steps": 2})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("train.json", OF_ANOTHER, "train.json is of another run (ffffffffff) than lies there"),
        ("history.csv", "", "history.csv is damaged"),
        ("history.csv", "a,b\n1,2\n", "history.csv is no history"),
        ("cost.json", '{"training_images_per_second": 1, "model": "b"}', "cost.json is of b on "),
        ("../../../../experiment.json", "[]", "experiment.json"),
    ],
)
def test_what_lies_in_a_runs_folder_is_the_runs(place, thumbnails, name, text, expected):
    (folder,) = (place / "results/tiny/runs/digits/fpa").iterdir()
    for own in ("train.json", "history.csv"):
        shutil.copyfile(place / "run" / own, folder / own)
    (folder / name).write_text(text)
    calls = ["table health --results results/tiny --out h.csv", "report results/tiny"]
    for call in [*calls, *(["plan small.yaml"] if "experiment" in name else [])]:
        done = fpa(*call.split(), cwd=place)
        assert done.returncode == 1
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_every_verb_is_called_wrongly():
    assert {call.split()[0] for call in CALLS.strip().splitlines()} == set(VERBS)


# Modules of a user's own -------------------------------------------------------------------------

PARTS = "step = to = state_dict = load_state_dict = None"
MODULES = {
    "def f(:": "bad.py, line 1: ",
    "x = 1\n  y = 2": "bad.py, line 2: unexpected indent",
    "x = 1\n1 / 0": "bad.py, line 2: ZeroDivisionError: division by zero",
    "import no_such_module": "bad.py, line 1: No module named 'no_such_module'",
    "raise SystemExit(3)": "bad.py, line 1: SystemExit: 3",
    "from fpa.evaluation.metrics import METRICS\nMETRICS.register('x', 3)": "expected a Metric of",
    "": "has no class 'Model' (in ",
    "Model = 3": "has no class 'Model' (in ",
    "class Model: pass": "is not a model: it has no step",
    f"class Model:\n {PARTS}\n def __init__(self, x: 'Nope'): pass": "'Nope' is not defined",
    f"class Model:\n {PARTS}\n def __init__(self, x=object()): pass": "a default is no JSON value",
    f"class Model:\n {PARTS}\n def __init__(self, **all):\n  1 / 0": "line 4: ZeroDivisionError",
}


@pytest.mark.parametrize("text", MODULES)
def test_a_module_that_fails_is_one_line_with_its_place(place, thumbnails, monkeypatch, text):
    (place / "bad.py").write_text(text)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    config = yaml.safe_load((place / "small.yaml").read_text())
    config["models"]["mine"] = {"class": "bad:Model"}
    (place / "own.yaml").write_text(yaml.safe_dump(config))
    done = fpa("plan", "own.yaml", cwd=place)
    sys.modules.pop("bad", None)
    assert done.returncode == 1
    assert MODULES[text] in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", [".thumbnails", "", "a b", "thumbnails.py"])
def test_a_plugin_is_a_module(place, name):
    config = {**yaml.safe_load((place / "small.yaml").read_text()), "plugins": [name]}
    (place / "own.yaml").write_text(yaml.safe_dump(config))
    done = fpa("plan", "own.yaml", cwd=place)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert f"cannot import '{name}'" in done.stderr


# The library ------------------------------------------------------------------------------------


IMAGES = np.zeros((4, 1, 16, 16), np.uint8)
OWN = {"extractor": "thumbnails-16px"}
FINITE = np.random.default_rng(0).normal(size=(4, 3))


COLOURED = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), np.uint8)


def changed(how: str, *words: str):
    """The finished run's model after a call of one of its EMA generator's methods."""
    model = library.load("run")
    getattr(model.ema, how)(*words)
    return model


def evaluated(images=IMAGES, real=IMAGES, protocol=OWN, **given):
    return library.evaluate(images, real, protocol, **{"device": "cpu", **given})


def test_images_and_features_may_come_as_tensors_and_lists(thumbnails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = torch.tensor(FINITE, requires_grad=True)
    assert library.frechet_distance(features, FINITE.tolist()) == library.frechet_distance(
        FINITE, FINITE
    )
    random, seed = list(COLOURED), np.int64(1)
    scores = [
        evaluated(found, COLOURED[::-1], seed=seed) for found in (torch.tensor(COLOURED), random)
    ]
    assert scores[0]["metrics"] == scores[1]["metrics"]


def test_colours_that_one_side_alone_has_are_told(thumbnails, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    grey = COLOURED[:, :1]
    evaluated(COLOURED, grey)
    evaluated(np.repeat(grey, 3, axis=1), COLOURED[:, :1])
    evaluated(grey, COLOURED)
    told = [line for line in caplog.messages if "the colours alone" in line]
    assert [line[15:24] for line in told] == ["in colour", "grey, the"]


def test_a_model_left_in_training_paints_as_the_verb_does(made):
    model = library.load(made / "run")
    expected = library.paint(model, 2)
    model.ema.train()
    assert np.array_equal(library.paint(model, 2), expected)
    assert model.ema.training


@pytest.mark.parametrize(
    ("expected", "call"),
    [
        ("expected best or last, found 'Best'", lambda: library.load("run", "Best")),
        ("expected best or last, found None", lambda: library.load("run", None)),
        ("has no best checkpoint", lambda: library.load("run", "best")),
        ("nowhere", lambda: library.load("nowhere")),
        ("expected auto, cpu", lambda: library.load("run", device="gpu")),
        ("expected auto, cpu", lambda: library.load("run", device="meta")),
        ("expected auto, cpu", lambda: library.load("run", device="cuda:99")),
        ("expected auto, cpu", lambda: library.load("run", device=None)),
        ("count: expected a whole", lambda: library.paint(library.load("run"), 0)),
        ("count: expected a whole", lambda: library.paint(library.load("run"), 2.0)),
        ("count: expected a whole", lambda: library.paint(library.load("run"), True)),
        ("folder: expected a path, found None", lambda: library.load(None)),
        ("folder: expected a path, found b'run'", lambda: library.load(b"run")),
        ("trust_class: expected package", lambda: library.load("run", trust_class=["a:B"])),
        ("model: expected what fpa.load returns", lambda: library.paint("run", 1)),
        ("float32 on one device, found torch.float64", lambda: library.paint(changed("double"), 1)),
        (
            "on one device, found torch.float32 on meta",
            lambda: library.paint(changed("to", "meta"), 1),
        ),
        ("count: expected a whole", lambda: library.paint(library.load("run"), 10**13)),
        ("seed: expected a whole", lambda: library.paint(library.load("run"), 1, -1)),
        ("seed: expected a whole", lambda: library.paint(library.load("run"), 1, 2**31)),
        ("real: expected features", lambda: library.frechet_distance([1, 2], FINITE)),
        ("fake: expected features", lambda: library.frechet_distance(FINITE, FINITE[:1])),
        ("real: expected features", lambda: library.frechet_distance([["a"], ["b"]], FINITE)),
        ("fake: expected finite", lambda: library.frechet_distance(FINITE, FINITE * np.nan)),
        ("real: expected features", lambda: library.frechet_distance(FINITE[:, :0], FINITE)),
        ("real: expected an array", lambda: library.frechet_distance([[1], [2, 3]], FINITE)),
        (
            "with masked values",
            lambda: library.frechet_distance(np.ma.masked_less(FINITE, 0), FINITE),
        ),
        ("cannot be computed; scale", lambda: library.frechet_distance(FINITE * 1e200, FINITE)),
        ("real has 3 features", lambda: library.frechet_distance(FINITE, FINITE[:, :2])),
        ("expected one of array, png, jpeg", lambda: evaluated(protocol={**OWN, "format": "gif"})),
        ("expected one of array, png, jpeg", lambda: evaluated(protocol={**OWN, "format": "jpg"})),
        ("format: expected one of", lambda: evaluated(protocol={**OWN, "format": 3})),
        ("resize: thumbnails-16px takes", lambda: evaluated(protocol={**OWN, "resize": "box"})),
        ("n_fake: expected at least 2", lambda: evaluated(protocol={**OWN, "n_fake": -1})),
        ("n_fake: expected a whole", lambda: evaluated(protocol={**OWN, "n_fake": 2.0})),
        ("n_real: expected at least 2", lambda: evaluated(protocol={**OWN, "n_real": 0})),
        ("n_real is 9, but there are only 4", lambda: evaluated(protocol={**OWN, "n_real": 9})),
        ("size: unknown setting", lambda: evaluated(protocol={**OWN, "size": 3})),
        ("not a known protocol", lambda: evaluated(protocol="papers")),
        ("unknown extractor", lambda: evaluated(protocol={"extractor": "inception"})),
        ("expected a name or settings", lambda: evaluated(protocol=3)),
        ("metrics: unknown metric", lambda: evaluated(metrics=["fud"])),
        ("metrics: expected a list", lambda: evaluated(metrics="fid")),
        ("does not follow from images", lambda: evaluated(metrics=["ppl"])),
        ("needs the cross-check", lambda: evaluated(metrics=["inception_score"])),
        ("device: expected auto, cpu or cuda", lambda: evaluated(device="tpu")),
        ("seed: expected a whole", lambda: evaluated(seed=-1)),
        ("expected uint8", lambda: evaluated(IMAGES.astype(float))),
        ("expected uint8", lambda: evaluated(IMAGES[0])),
        ("images * 255 + 0.5", lambda: evaluated(IMAGES / 255)),
        ("images.transpose(0, 3, 1, 2)", lambda: evaluated(COLOURED.transpose(0, 2, 3, 1))),
        ("images: expected an array", lambda: evaluated([IMAGES[0], IMAGES[0, :, :8]])),
        ("metrics: expected a list", lambda: evaluated(metrics=[])),
        ("metrics: expected a list", lambda: evaluated(metrics=[3])),
        ("data: expected a path", lambda: evaluated(data=None)),
        ("there is nothing at nowhere", lambda: evaluated(weights="nowhere")),
        ("describes thumbnails-16px", lambda: evaluated(protocol={"extractor": "thumbnails-32px"})),
        ("expected uint8", lambda: evaluated(None)),
        ("there are no images", lambda: evaluated(IMAGES[:0])),
        ("there are no images", lambda: evaluated("nowhere")),
        ("are 8 x 16 px, the real ones 16 x 16", lambda: evaluated(IMAGES[..., :8])),
        ("only a reference file", lambda: evaluated(digest="abc")),
        ("not a reference", lambda: evaluated(real="arrays.npz")),
    ],
)
def test_the_library_says_what_it_expects(place, thumbnails, monkeypatch, expected, call):
    monkeypatch.chdir(place)
    before = contents(place)
    with pytest.raises((UserError, ValueError), match=re.escape(expected)):
        call()
    assert contents(place) == before
