"""What many small runs share: a GPU between jobs, a cache between clones."""

import re

import pytest
from conftest import TINY, snakemake

from fpa.core.files import write_json, write_text
from fpa.experiment.plan import Plan


@pytest.mark.parametrize(
    ("device", "runs_per_gpu", "together"), [("auto", 1, 1), ("auto", 2, 2), ("cpu", 1, 3)]
)
def test_so_many_jobs_share_a_gpu(tiny, tmp_path, device, runs_per_gpu, together):
    tiny["runtime"] |= {"device": device, "runs_per_gpu": runs_per_gpu}
    experiment = Plan(tiny)
    folders = [f"results/tiny/{run.folder}" for run in experiment.runs]
    for folder in folders:
        for name in ("weights.safetensors", "train.json"):
            # Each job fails as soon as it reads this: when it starts is all that counts here.
            write_text(tmp_path / folder / name, "nothing")
    targets = [f"{folder}/{experiment.sampled}" for folder in folders]
    options = ("--cores", "3", "--resources", "gpu=1", "--keep-going")
    done = snakemake(tiny, tmp_path, *targets, *options)
    assert done.stderr.count("error: ") == done.stderr.count("is not valid JSON") == len(folders)
    batches = batch_sizes(done)
    assert sum(batches) == len(folders) == 3
    assert max(batches) == together


def batch_sizes(done) -> list[int]:
    """How many jobs Snakemake started at once, each time."""
    return [int(n) for n in re.findall(r"^Execute (\d+) jobs", done.stderr, flags=re.M)]


def failing_costs(config: dict, folder) -> list[str]:
    """Targets of jobs that fail at once, because what they read is no run."""
    runs = [f"results/tiny/{run.folder}" for run in Plan(config).runs]
    for run in runs:
        write_json(folder / run / "run.json", {})
    return [f"{run}/cost.json" for run in runs]


def test_speeds_are_measured_one_after_the_other(tiny, tmp_path):
    targets = failing_costs(tiny, tmp_path)
    done = snakemake(tiny, tmp_path, *targets, "--cores", "3", "--keep-going")
    assert batch_sizes(done) == [1] * len(targets)


def test_a_job_that_says_what_is_wrong_is_not_tried_again_and_a_killed_one_is(tiny, tmp_path):
    target, *_ = failing_costs(tiny, tmp_path)
    done = snakemake(tiny, tmp_path, target, "--retries", "2")
    assert done.stderr.count("expected a resolved run") == 1
    # As after a kill: the program says nothing in its log.
    (tmp_path / "fpa.py").write_text("import os; os.kill(os.getpid(), 9)")
    done = snakemake(tiny, tmp_path, target, "--retries", "2")
    assert done.stderr.count("Trying to restart job") == 2


def test_a_second_clone_takes_everything_from_the_cache(small, tmp_path, monkeypatch):
    small["models"] = {"lightgan": TINY["models"]["lightgan"]}
    table = "results/tiny/tables/scores.csv"
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    clones = [tmp_path / name for name in ("cache", "first", "second")]
    for folder in clones:
        folder.mkdir()
    _, first, second = clones
    for folder in (first, second):
        done = snakemake(small, folder, table, "--cache")
        assert done.returncode == 0, done.stderr
    assert (first / table).read_bytes() == (second / table).read_bytes()
    assert list(first.rglob("state/finished/train.json"))
    assert not list(second.rglob("state"))
    (images,) = second.glob("data/digits-*/images.npy")
    assert images.is_symlink()
    # What differs in a wildcard only must not meet in the cache.
    features = [*second.rglob("features*.npy")]
    assert len({path.resolve() for path in features}) == len(features) == 2
    assert "Symlinking output file" in done.stderr
    assert "fpa train" not in done.stderr


def test_a_cache_is_not_shared_between_images_of_the_same_relative_path(tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    tiny["datasets"] = {"mine": {"source": "folder", "path": "mine", "resolution": 16}}
    done = snakemake(tiny, tmp_path, "-n", "--cache")
    assert done.returncode != 0
    assert "give an absolute path to share work with --cache" in done.stdout + done.stderr
