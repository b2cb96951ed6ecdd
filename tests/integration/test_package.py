"""The wheel alone, installed where the repository cannot be seen: all that it needs is in it."""

import copy
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, TINY
from conftest import run as run_program

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "fpa", "baselines")
DATA = (
    "fpa/py.typed",
    "fpa/reporting/published.csv",
    "fpa/reporting/figures/theme.mplstyle",
    "fpa/web/report.css",
    "fpa/web/report.html",
    "fpa/web/player.css",
    "fpa/web/player.html",
    "fpa/web/player.js",
    "fpa/web/status.html",
)


def run(*words: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    """A program's output; it must succeed."""
    command = list(map(str, words))
    done = run_program(*command, cwd=cwd, env=env or os.environ)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package, built from copies: a build leaves files behind."""
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        source, copied = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copied)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "out", cwd=folder)
    (built,) = (folder / "out").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The wheel in a folder of its own; what it depends on comes from these tests' environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", folder, wheel, cwd=folder)
    return folder


@pytest.fixture
def outside(installed) -> dict[str, str]:
    """An environment in which Python finds the installed package and no working directory."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("FPA_", "PYTHON"))}
    return {**ours, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}


def test_the_wheel_holds_the_packages_and_their_files_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert set(DATA) <= held
    built_from = wheel.parents[1]
    modules = [path for name in ("fpa", "baselines") for path in (built_from / name).rglob("*.py")]
    assert {path.relative_to(built_from).as_posix() for path in modules} <= held
    assert {name.split("/")[0].split("-")[0] for name in held} == {"fpa", "baselines"}


def test_the_repository_is_not_importable_from_outside(installed, outside, tmp_path):
    code = "import fpa, baselines.lightgan as b; print(fpa.__file__); print(b.LightGAN.__module__, b.__file__)"
    ours, baseline = run(sys.executable, "-c", code, cwd=tmp_path, env=outside).splitlines()
    assert Path(ours).is_relative_to(installed)
    assert Path(baseline.split()[1]).is_relative_to(installed)


def test_the_installed_package_trains(installed, outside, tmp_path):
    config = copy.deepcopy(TINY)
    config["models"] = {"fpa": config["models"]["fpa"]}
    # Three steps, without the quick scores, which need an extractor.
    config["training"] |= {"kimg": 0.024, "watch_kimg": 0}
    config["evaluation"]["checkpoint"] = "last"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    def fpa(*words: object) -> str:
        return run(sys.executable, "-m", "fpa", *words, cwd=tmp_path, env=outside)

    planned = run(installed / "bin/fpa", "plan", "config.yaml", cwd=tmp_path, env=outside)
    assert re.fullmatch(r"results/\S+  0.024 kimg, 3 steps, to train\n", planned)
    assert fpa("plan", "config.yaml", "--write") == planned
    fpa("prepare", "digits", "--config", "config.yaml")
    (store,) = (path.parent for path in (tmp_path / "data").rglob("*.npy"))
    folder = tmp_path / planned.split()[0]
    fpa("train", folder / "run.json", "--store", store, "--device", "cpu", "--threads", 1)
    assert (folder / "weights.safetensors").stat().st_size > 0
    assert "trained" in fpa("plan", "config.yaml")
