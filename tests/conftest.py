"""Small experiments and helpers that several tests share."""

import os
from unittest import mock

# Two workers and their subprocesses on two cores: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import copy
import importlib.util
import io
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from browsing import BROWSERS
from PIL import Image

from fpa.cli import main
from fpa.core.progress import log
from fpa.core.registry import PLUGINS, TRUSTED
from fpa.data.picture import formats
from fpa.data.prepare import prepare
from fpa.data.sources import SOURCES, DatasetSpec, store_name
from fpa.evaluation.extractors import EXTRACTORS
from fpa.evaluation.metrics import METRICS, Metric
from fpa.experiment.plan import Plan
from fpa.models.parts import INPUTS, RULES, SEQUENCES
from fpa.reporting.figures import FIGURES
from fpa.reporting.tables import TABLES
from fpa.runs.folder import RunFolder
from fpa.runs.run import Run
from fpa.training.loggers import LOGGERS
from fpa.training.loop import Training

ROOT = Path(__file__).parent.parent

HANGING = 1800
"""Seconds after which a program counts as hanging. No measurement: on a busy machine all takes many
times as long."""

DISCRIMINATOR = {
    "fmap_max": 8,
    "attention": [],
    "heads": 1,
    "head_dim": 4,
    "view_size": 8,
    "view_width": 4,
    "reconstruction_size": 16,
}
RECIPE = {"ema_start": 4, "ema_every": 2, "ema_reset_every": 4, "ema_reset_until": 6}
TINY = {
    "experiment": "tiny",
    "datasets": {"digits": {"resolution": 16, "channels": 1, "filter": "bicubic"}},
    "models": {
        "fpa": {
            "class": "fpa.models:FPA",
            "settings": {
                "painter": {"steps": 4, "latent_dim": 8, "hidden_size": 16, "mini_input_size": 8},
                "discriminator": DISCRIMINATOR,
                "recipe": RECIPE,
            },
        },
        "fpa_unet": {
            "class": "fpa.models:FPAUNet",
            "base": "fpa",
            "settings": {"unet": {"max_multiplier": 1}, "recipe": RECIPE},
        },
        "lightgan": {
            "class": "baselines.lightgan:LightGAN",
            "settings": {
                "generator": {"latent_dim": 8, "fmap_max": 8, "attention": []},
                "discriminator": DISCRIMINATOR,
                "recipe": RECIPE,
            },
        },
    },
    "training": {
        "kimg": 0.096,
        "batch_size": 8,
        "checkpoint_kimg": 0.032,
        "watch_kimg": 0.032,
        "watch_images": 8,
    },
    "evaluation": {
        "protocols": {"quick": {"extractor": "efficientnet_lite0-32px", "n_fake": 32}},
        "kid_subsets": 5,
        "kid_subset_size": 20,
        "groups": 4,
    },
    "figures": {"grid": 9, "paintings": 2, "strip_steps": 3},
    "runtime": {"device": "cpu", "train_threads": 1, "log_every": 3, "cost_seconds": 0.1},
}
"""Every stage and model, in seconds."""


@pytest.fixture
def tiny() -> dict:
    """A configuration to change at will."""
    return copy.deepcopy(TINY)


def changed(config: dict, changes: dict[str, Any]) -> dict:
    """A copy with other values, by keys with dots."""
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *way, last = key.split(".")
        part = config
        for name in way:
            part = part.setdefault(name, {})
        part[last] = value
    return config


REGISTRIES = (RULES, INPUTS, SEQUENCES, METRICS, EXTRACTORS, SOURCES, FIGURES, TABLES, LOGGERS)


@contextmanager
def plugins_dropped() -> Iterator[None]:
    """What plugins register in the block is gone behind it, also for processes that are started."""
    with ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(mock.patch.dict(registry))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for variable in (PLUGINS, TRUSTED):
            patch.setenv(variable, "")
        yield
        # Whoever names one again has it register its entries again.
        for name in (*filter(None, os.environ.get(PLUGINS, "").split(",")), "thumbnails", "few"):
            sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def no_plugins_left():
    """Every test begins with what the project brings."""
    with plugins_dropped():
        yield


@pytest.fixture(autouse=True)
def no_figures_left():
    """matplotlib keeps every figure that nobody closes, and warns of more than twenty."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def thumbnails(no_plugins_left) -> None:
    """The plugin of this name, for tests in this process; at the top of a file it would stay."""
    sys.modules.pop("thumbnails", None)
    importlib.import_module("thumbnails")


@pytest.fixture
def sharpness(no_plugins_left) -> Metric:
    """A metric as a module outside of the project registers it."""
    return METRICS.register(
        "sharpness",
        Metric(
            "sharpness",
            "sharpness",
            lower_is_better=False,
            compute=lambda measurement: {},
            scale=100,
            digits=1,
            drawn=True,
            table=True,
        ),
    )


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """The tiny experiment's data set, prepared; not to be changed."""
    dataset = Plan(TINY).datasets["digits"]
    folder = tmp_path_factory.mktemp("data") / store_name(dataset)
    prepare(dataset, folder)
    return folder


def quick(config: dict, models: dict, protocols: dict | None = None) -> dict:
    """Other models, whose last checkpoints alone are scored, by an extractor that takes no time."""
    scored = {"protocols": protocols or SMALL, "checkpoint": "last", "cross_check": False}
    evaluation = {**config["evaluation"], **scored, "metrics": ["fid", "kid"]}
    training = {**config["training"], "watch_kimg": 0}
    more = {"plugins": ["thumbnails"], "evaluation": evaluation, "training": training}
    return copy.deepcopy({**config, **more, "models": models})


SMALL = {"small": {"extractor": "thumbnails-16px", "n_fake": 32}}
"""A protocol whose network takes no time; its plugin is in tests/."""


@pytest.fixture
def small(tiny) -> dict:
    """One tiny model, scored by an extractor that takes no time."""
    tiny |= {"models": {"fpa": tiny["models"]["fpa"]}, "plugins": ["thumbnails"]}
    tiny["evaluation"]["protocols"] = copy.deepcopy(SMALL)
    return tiny


def pytest_configure() -> None:
    """Programs started here listen to Ctrl-C, even when these tests run in a shell's background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: no process is left with one when the others have ended."""
    first = ("test_slurm.py", "test_workflow.py", "test_users.py", "test_training.py")
    places = {name: place for place, name in enumerate(first)}
    items.sort(key=lambda item: places.get(item.path.name, len(first)))


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium: one that is installed, else Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        path = next(filter(None, map(shutil.which, BROWSERS)), started.chromium.executable_path)
        if not os.path.exists(path):
            pytest.skip("no browser is installed (Debian: apt-get install chromium)")
        # Chromium's sandbox does not start for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = started.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


def environment() -> dict[str, str]:
    """The environment of a subprocess that runs this checkout's code and the plugins in tests/."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "FPA_PROGRESS": "lines"}


def fpa(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """Run `fpa ...` as a user would, but in this process: its exit code and what it printed."""
    words = list(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd(), torch.get_num_threads(), dict(os.environ), list(log.handlers)
    os.environ["FPA_PROGRESS"] = "lines"
    os.chdir(cwd)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = main(words)
            except SystemExit as exit:
                code = exit.code if isinstance(exit.code, int) else 1
    finally:
        for handler in log.handlers:
            handler.close()
        os.chdir(before[0])
        torch.set_num_threads(before[1])
        os.environ.clear()
        os.environ.update(before[2])
        log.handlers[:] = before[3]
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def planned(config: dict, model: str) -> Run:
    """The run of a model, if it has but one."""
    (run,) = (run for run in Plan(config).runs if run.model.name == model)
    return run


def finished(
    run: Run, folder: Path, images_sha256: str = "ab" * 32, seconds: float = 1
) -> Training:
    """Leaves in a folder what a training leaves, which there was none of; its models."""
    training = Training(run, None, images_sha256, torch.device("cpu"), log_every=1)
    RunFolder(folder).write_result(training.result(seconds))
    return training


def fpa_ok(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """The same; it must succeed."""
    done = fpa(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def fpa_refused(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """The same; it must end with exit code 1 and say why in one line."""
    done = fpa(*arguments, cwd=cwd)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    return done


def score_by_hand(
    folder: Path,
    run: Path,
    store: object,
    out: object,
    *more: object,
    network: str = "thumbnails-16px",
    metrics: Sequence[str] = ("fid", "kid"),
    checkpoint: str = "last",
    data: object = "data",
) -> None:
    """32 samples of a run's folder scored against a prepared data set, verb by verb, in `folder`."""
    extractor, real = (
        f"{data}/extractors/{network}.json",
        f"{store}/features.{network}.clean.array.npy",
    )
    space = ("--space", f"{network}.clean.array", "--extractor", extractor)
    of = ("--fake", "fake.npy", "--real", real, "--checkpoint", checkpoint)
    for words in (
        ("extractor", network, "--out", extractor),
        ("sample", run, "--count", 32, "--checkpoint", checkpoint, "--out", "samples.npy"),
        ("features", store, *space, "--out", real),
        ("features", "samples.npy", *space, "--out", "fake.npy"),
        ("score", run, *of, "--metrics", *metrics, "--groups", 4, *more, "--out", out),
    ):
        fpa_ok(*words, cwd=folder)


@contextmanager
def started(*command: object, **options: Any) -> Iterator[subprocess.Popen]:
    """A program with what it says as text; it and all that it started are gone behind the block."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {"cwd": ROOT, "env": environment(), "text": True, **pipes, **options}
    process = subprocess.Popen(list(map(str, command)), start_new_session=True, **options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            pipe.close()


def run(*command: object, **options: Any) -> subprocess.CompletedProcess:
    """Run a program to its end: its exit code and what it printed."""
    with started(*command, **options) as process:
        out, err = process.communicate(timeout=HANGING)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def fpa_process(*arguments: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess:
    """Run `python -m fpa ...` in a process of its own."""
    return run(sys.executable, "-m", "fpa", *arguments, cwd=cwd, **options)


def module_of(path: str) -> ModuleType:
    """A script of this repository as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem.strip("_"), ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def modules_loaded_by(code: str, cwd: Path = ROOT) -> set[str]:
    """Every module that is there after `code` has run in a Python of its own; it must succeed."""
    done = run(sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def run_snakemake(*words: object, **options: Any) -> subprocess.CompletedProcess:
    """Run Snakemake, as from a shell."""
    return run(sys.executable, "-m", "snakemake", *words, **options)


def snakemake(config: dict, folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Run the workflow on a configuration in a folder of its own."""
    path = folder / f"{config.get('experiment', 'config')}.yaml"
    path.write_text(yaml.safe_dump(config))
    # Targets come first: --configfile takes every word behind it.
    options = ("--cores", "2", "--directory", folder, *arguments, "--configfile", path)
    return run_snakemake(*options)


@pytest.fixture(scope="session")
def photographs() -> list[np.ndarray]:
    """40 pieces (H, W, 3) uint8, of several shapes, of scikit-learn's two sample photographs."""
    from sklearn.datasets import load_sample_images

    pieces = []
    for i in range(20):
        for whole in load_sample_images().images:
            height, width = 96 + 7 * (i % 5), 110 - 5 * (i % 4)
            top, left = 16 * i, 25 * i
            pieces.append(whole[top : top + height, left : left + width])
    return pieces


@pytest.fixture
def heic(monkeypatch) -> Iterator[Callable[[bool], None]]:
    """Has the package that reads HEIC be there (a made-up one, whose images are all alike) or not."""

    def register() -> None:
        def opened(data: Any, name: Any) -> Image.Image:
            return Image.new("RGB", (20, 20), (9, 99, 0))

        monkeypatch.setitem(Image.OPEN, "HEIF", (opened, lambda start: start[4:8] == b"ftyp"))

    def put(there: bool) -> None:
        package = SimpleNamespace(register_heif_opener=register) if there else None
        monkeypatch.setitem(sys.modules, "pillow_heif", package)
        formats.cache_clear()

    yield put
    formats.cache_clear()


def encode(pixels: np.ndarray, kind: str) -> bytes:
    """An image file in memory."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    return encode(pixels, "JPEG")


def png(pixels: np.ndarray) -> bytes:
    return encode(pixels, "PNG")


def images_dataset(path: Path, **settings) -> DatasetSpec:
    """A user's own data set, at 16 px."""
    return DatasetSpec(name="mine", source="folder", path=str(path), resolution=16, **settings)


def assert_resumes(build: Callable[[], Any], batches: list[torch.Tensor], at: int) -> None:
    """Steps on all batches, and on some, saved, loaded into another model, and on: the same bits."""
    whole, first, second = build(), build(), build()
    torch.manual_seed(1)
    for batch in batches:
        whole.step(batch)
    torch.manual_seed(1)
    for batch in batches[:at]:
        first.step(batch)
    saved, random = copy.deepcopy(first.state_dict()), torch.get_rng_state()
    # What the other model has done before must not matter.
    second.step(batches[0])
    second.load_state_dict(saved)
    torch.set_rng_state(random)
    for batch in batches[at:]:
        second.step(batch)
    torch.testing.assert_close(second.state_dict(), whole.state_dict(), atol=0, rtol=0)
