"""A full disk at every stage that writes: one line, no half file, and on it goes when there is room."""

import os
import resource
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from conftest import fpa, fpa_ok

from fpa.core import artifacts
from fpa.core.registry import PLUGINS
from fpa.experiment.plan import Plan

SPACE = "thumbnails-16px.clean.array"


class SmallDisk:
    """A file system in memory of its own, that is filled to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
        with suppress(OSError):
            if subprocess.run(mount, capture_output=True).returncode == 0:
                return
        pytest.skip("no file system can be mounted here")

    @contextmanager
    def full(self):
        rest = self.folder / "rest"
        with open(rest, "wb", buffering=0) as file, suppress(OSError):
            while file.write(b"0" * 4096):
                pass
        yield
        rest.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class NoRoom:
    """Any disk, with the operating system's limit on what this process may write to a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()

    @contextmanager
    def full(self):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def close(self) -> None:
        """Nothing is left."""


def stages(small: dict) -> dict[str, list[str]]:
    """What the workflow's rules run, for one run from its images to the bundle."""
    experiment = Plan(small)
    (run,) = experiment.runs
    results = Path("results/tiny")
    folder, spec = results / run.folder, next(iter(experiment.datasets.values()))
    count, seed, kept = experiment.sample_count, 0, "best"
    samples, scored = folder / experiment.sampled, folder / experiment.score_file("small")
    fake = folder / artifacts.features(kept, count, seed, SPACE)
    shown = ("--seed", seed, "--checkpoint", kept, "--device", "cpu")
    network = ("--extractor", "network.json", "--space", SPACE, "--device", "cpu")
    real = ("--real", "real.npy", "--extractor", "network.json")
    figures = small["figures"]
    made = (
        ("prepare", [*spec.as_words(), "--no-config", "--out", "store"]),
        ("extractor", ["thumbnails-16px", "--out", "network.json"]),
        ("features", ["store", *network, "--out", "real.npy"]),
        ("radii", ["real.npy", "--out", "radii.npz"]),
        ("plan", ["tiny.yaml", "--write"]),
        ("train", [folder / "run.json", "--store", "store", *real, "--device", "cpu"]),
        ("cost", [folder / "run.json", "--seconds", "0.01", "--out", folder / "cost.json"]),
        ("sample", [folder, "--count", count, *shown, "--out", samples]),
        (
            "sample of the figures",
            [
                folder,
                "--count",
                experiment.shown_count,
                *shown,
                "--out",
                folder / experiment.experiment.samples_file,
            ],
        ),
        ("features of samples", [samples, *network, "--out", fake]),
        (
            "score",
            [
                *(folder, "--fake", fake, "--real", "real.npy", "--protocol", "small"),
                *("--metrics", "fid", "kid", "--kid-subset-size", 20, "--groups", 4),
                *("--checkpoint", kept, "--out", scored),
            ],
        ),
        *(
            (verb, [folder, "--count", number, *shown, "--out", folder / name])
            for verb, number, name in (
                ("paint", 2, f"paintings-{kept}-n{figures['paintings']}-seed{seed}.npz"),
                ("statistics", 2, f"statistics-{kept}-n256-seed{seed}.npz"),
                ("export-web", 2, f"live-{kept}-n{figures['paintings']}-seed{seed}.safetensors"),
                ("interpolate", 1, f"interpolations-{kept}-3x12-seed{seed}.npy"),
            )
        ),
        (
            "neighbours",
            [
                *(samples, "--fake", fake, "--real", "real.npy", "--store", "store"),
                *("--count", 2, "--out", folder / artifacts.neighbours(kept, 10, seed, SPACE)),
            ],
        ),
        (
            "real-samples",
            [
                *("store", "--count", 9, "--out"),
                results / artifacts.real_samples(run.store, figures["grid"]),
            ],
        ),
        ("table", ["scores", scored, "--results", results, "--out", results / "tables/scores.csv"]),
        ("figure", [results, "scores"]),
        ("report", [results, "--as-is"]),
        ("export", [folder, "--checkpoint", kept, "--out", "export"]),
        ("bundle", [results]),
    )
    return {name: list(map(str, words)) for name, words in made}


@pytest.mark.parametrize("kind", [SmallDisk, NoRoom])
def test_no_stage_leaves_half_a_file_and_each_goes_on(kind, small, tmp_path, monkeypatch):
    monkeypatch.setenv(PLUGINS, "thumbnails")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "disk"
    disk = kind(folder)
    try:
        (folder / "tiny.yaml").write_text(yaml.safe_dump(small))
        for name, words in stages(small).items():
            command = [name.split()[0], *words, "--log", "log.txt"]
            before = files(folder)
            with disk.full():
                done = fpa(*command, cwd=folder)
            errors = [line for line in done.stderr.splitlines() if "error: " in line]
            assert (done.returncode, len(errors)) == (1, 1), (name, done.stderr)
            assert "No space left on device" in errors[0] or "File too large" in errors[0], name
            assert "Traceback" not in done.stderr, (name, done.stderr)
            assert files(folder) == before, name
            fpa_ok(*command, cwd=folder)
            assert set(files(folder)) > set(before), name
    finally:
        disk.close()


def files(folder: Path) -> dict[str, int]:
    """Sizes of a folder's files, without empty ones (locks) and the log."""
    found = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return {
        os.path.relpath(path, folder): size
        for path, size in found.items()
        if size and path.name not in ("log.txt", "rest", "lock")
    }
