"""The whole way through Snakemake, on a tiny experiment: what is made, made again, and refused."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import STDOUT

import conftest
import pandas as pd
import pytest
import yaml
from conftest import ROOT, changed, environment, fpa, fpa_ok, run_snakemake, snakemake, started

from fpa.core.files import file_digest
from fpa.core.provenance import STAGES
from fpa.experiment.experiment import Experiment
from fpa.experiment.plan import Plan
from fpa.reporting.figures import Spec, figures
from fpa.reporting.tables import table_names
from fpa.workflow.cost_estimate import disk_usage

TINY = {
    **conftest.TINY,
    "models": {name: conftest.TINY["models"][name] for name in ("fpa", "fpa_unet")},
}
"""Another model would be eight more jobs; test_sharing.py takes LightGAN from data to a table."""

CONDA = """#!/bin/sh
# Answers what Snakemake asks before it plans; solving an environment is conda's own business.
case "$*" in
*info*) echo '{"conda_version": "25.1.0", "conda_prefix": "/conda", "platform": "linux-64"}' ;;
*config*) echo '{"get": {"channel_priority": "strict"}}' ;;
*) echo conda 25.1.0 ;;
esac
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiny experiment, run from nothing to every table and figure."""
    folder = tmp_path_factory.mktemp("tiny")
    done = snakemake(TINY, folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(finished[0], tmp_path / "copy", copy_function=shutil.copy2))


def jobs_of_a_dry_run(config: dict, folder, *arguments) -> dict[str, int]:
    """rule -> number of jobs that would run."""
    done = snakemake(config, folder, "-n", *arguments)
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    found = {}
    for line in lines:
        words = line.split()
        if len(words) == 2 and words[1].isdigit() and words[0] not in ("total", "jobid:"):
            found[words[0]] = int(words[1])
    return found


def drawn(results) -> list[Spec]:
    """The experiment's figures."""
    return list(figures(Experiment.read(results)).values())


def test_every_table_and_figure_is_made(finished):
    folder, _ = finished
    results = folder / "results" / "tiny"
    names = ("fid", "kid", "scores", "comparisons", *table_names(of="runs"), "models")
    expected = {f"{name}.{kind}" for name in names for kind in ("csv", "md", "tex")}
    assert {p.name for p in (results / "tables").iterdir()} == expected
    made = {str(p.relative_to(results)) for p in (results / "figures").iterdir()}
    assert made == {file for spec in drawn(results) for file in spec.files}
    assert "figures/painting_digits.gif" in made
    assert (results / "report.html").stat().st_size < 15e6
    assert not list(folder.rglob("*.part"))


def test_the_run_says_what_it_does_and_ends_with_the_table(finished):
    folder, done = finished
    # The table goes to stdout, what Snakemake and the jobs say to stderr.
    said = done.stderr + done.stdout
    assert "Training fpa on digits" in said
    assert "digits fpa seed 0 100% [####################] 12/12 steps" in said
    printed = (folder / "results/tiny/tables/fid.md").read_text()
    assert "| fpa_unet |" in printed
    assert printed in said.split("Table fid of tiny")[1]


def test_the_table_states_everything_behind_a_number(finished):
    folder, _ = finished
    table = pd.read_csv(folder / "results/tiny/tables/fid.csv")
    assert table["model"].tolist() == ["fpa", "fpa_unet"]
    row = table.iloc[0]
    assert (row["n_real"], row["n_fake"], row["n_seeds"]) == (1797, 32, 1)
    assert row["extractor"] == "efficientnet_lite0-32px"
    assert row["kimg"] == pytest.approx(0.096)
    (run,) = (folder / "results/tiny/runs/digits/fpa").iterdir()
    assert run.name == f"seed0-{row['runs']}"
    summary = json.loads((run / "train.json").read_text())
    assert summary["digest"].startswith(row["runs"])
    assert summary["parameters"]["ema"] == row["generator_parameters"]
    (score,) = (json.loads(p.read_text()) for p in run.glob("score-*.json"))
    assert score["metrics"]["fid"]["value"] == pytest.approx(row["fid"])
    assert row["fid_error"] > 0
    assert score["metrics"]["fid_difference"]["value"] < 1e-3
    # The samples are gone, and the same ones can be had again.
    words = ("--checkpoint", "best", "--count", 32, "--out", folder / "samples.npy")
    fpa_ok("sample", run, *words, cwd=folder)
    assert score["fake_sha256"] == file_digest(folder / "samples.npy")
    assert score["versions"]["fpa"]
    assert score["stages"] == STAGES
    assert score["n_precision_recall"] == 32


def test_snakemakes_own_report_holds_every_table_and_figure(finished):
    folder, _ = finished
    done = snakemake(TINY, folder, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    report = (folder / "report.html").read_text()
    (categories,) = re.findall(r"var categories = (.*);", report)
    shown = {
        (category, Path(path).name)
        for category, parts in json.loads(categories).items()
        for paths in parts.values()
        for path in paths
    }
    results = folder / "results" / "tiny"
    tables = {("Tables", path.name) for path in (results / "tables").glob("*.csv")}
    assert tables | {(s.category, Path(s.files[0]).name) for s in drawn(results)} == shown
    for spec in drawn(results):
        # reStructuredText breaks lines and turns quotes: a few words of the caption are enough.
        for text in (*spec.labels.values(), " ".join(spec.caption.split()[:3])):
            assert json.dumps(text)[1:-1] in report


@pytest.mark.parametrize(
    "words",
    [
        *("--unlock", "--report report.html", "--summary", "--dag", "--rulegraph"),
        *("--list-changes code", "--cleanup-metadata results/tiny/tables/fid.csv"),
    ],
)
def test_what_starts_no_job_asks_for_no_cores(copied, words):
    """As the documents print it: `snakemake --unlock`, after a kill."""
    locks = copied / ".snakemake" / "locks"
    if words == "--unlock":
        locks.mkdir(exist_ok=True)
        (locks / "0.output.lock").write_text("results/tiny/tables/fid.csv\n")
    done = run_snakemake(
        *words.split(), "--directory", copied, "--configfile", copied / "tiny.yaml"
    )
    assert done.returncode == 0, done.stderr
    if words == "--unlock":
        assert not list(locks.glob("*.lock"))


def test_it_takes_the_room_that_the_plan_shows(finished):
    folder, _ = finished
    files = [path for path in folder.rglob("*") if path.is_file()]
    # A file with two names takes room once.
    sizes = {path.stat().st_ino: (path, path.stat().st_size) for path in files}.values()

    def size(pattern: str) -> int:
        return sum(size for path, size in sizes if path.match(pattern))

    disk = disk_usage(Plan(TINY))
    expected = {
        "archives": size("data/archives/*"),
        "prepared images": size("data/*/images.npy"),
        "features of real images": size("data/*/features.*.npy"),
        "finished runs": size("weights.safetensors"),
        "samples shown": size("samples-*.npy"),
    }
    # Headers of arrays, names of tensors and the like are not estimated.
    assert disk.kept == pytest.approx(expected, rel=0.1)
    rest = sum(size for _, size in sizes) - sum(expected.values()) - size(".snakemake/*")
    assert rest < 8e6  # tables, figures, page, logs
    assert not [path for path in files if path.suffix == ".pt"]
    assert not list((folder / "results").rglob("features-*.npy"))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("runtime.log_every", 1, {}),
        ("runtime.train_threads", 2, {}),
        ("models.fpa_unet.settings.unet", {"max_multiplier": 2}, {"train": 1, "score": 1}),
        ("models.fpa.settings.painter", {"steps": 5}, {"train": 2, "score": 2}),
        ("seeds", [0, 1], {"train": 2, "score": 2}),
        ("evaluation.protocols.quick.n_fake", 40, {"sample": 2, "score": 2}),
        ("evaluation.kid_subsets", 6, {"score": 2}),
        ("figures.grid", 4, {"real_samples": 1, "figure": 1, "report_page": 1}),
        ("figures.strips", [1], {"figure": 3, "report_page": 1}),
        ("figures.frames", 5, {"run_artifact": 2, "figure": 1, "report_page": 1}),
        ("models.fpa.label", "Painter", {"scores_table": 4, "models_table": 1}),
    ],
)
def test_a_change_makes_again_what_it_touches_and_nothing_else(finished, key, value, expected):
    jobs = jobs_of_a_dry_run(changed(TINY, {key: value}), finished[0])
    heavy = ("prepare", "extractor", "real_features", "train", "sample", "score")
    shown = {k: n for k, n in jobs.items() if k in heavy or k in expected}
    if "sample" not in expected:
        shown.pop("sample", None)
    assert shown == expected
    assert bool(jobs) == bool(expected)


@pytest.mark.parametrize("gone", ["data", "data/extractors", "data/digits-*"])
def test_what_is_prepared_again_for_a_new_seed_leaves_finished_runs_alone(copied, gone):
    for path in copied.glob(gone):
        shutil.rmtree(path)
    jobs = jobs_of_a_dry_run(changed(TINY, {"seeds": [0, 1]}), copied)
    assert {rule: jobs[rule] for rule in ("plan_run", "train", "score")} == {
        **dict.fromkeys(("plan_run", "train", "score"), 2)
    }
    # Nor does force make them again; a finished file is a target like any other.
    weights = next(copied.rglob("fpa/*/weights.safetensors"))
    before = file_digest(weights)
    done = snakemake(TINY, copied, "--forceall", str(weights.relative_to(copied)))
    assert done.returncode == 0, done.stderr
    assert "fpa train" not in done.stderr
    assert file_digest(weights) == before


def test_a_call_makes_all_that_is_asked_for_or_says_what_is_left(copied):
    """What is older than its source, or was being written in a kill, does not hide missing files."""
    shutil.rmtree(copied / "results" / "tiny" / "tables")
    everything = jobs_of_a_dry_run(changed(TINY, {"seeds": [0, 1]}), copied)
    assert everything["train"] == 2
    for path in copied.glob("data/*/features*"):
        path.touch()
    plan = "results/tiny/runs/digits/fpa/seed1-0123456789/run.json"
    incomplete = copied / ".snakemake" / "incomplete"
    incomplete.mkdir(exist_ok=True)
    for path in (plan, *(str(p.relative_to(copied)) for p in copied.rglob("run.json"))):
        (incomplete / base64.b64encode(path.encode()).decode()).touch()
    assert jobs_of_a_dry_run(changed(TINY, {"seeds": [0, 1]}), copied) == everything
    # A file that is there needs nothing more, though the features that it was made of are gone.
    scores = [str(path.relative_to(copied)) for path in copied.rglob("score-*.json")]
    Path(copied, scores[0]).unlink()
    assert len(scores) == 2
    assert snakemake(TINY, copied, *scores).returncode == 0
    # Whoever asks for one rule alone is told that the rest is missing.
    done = snakemake(changed(TINY, {"seeds": [0, 1]}), copied, "-R", "extractor")
    assert done.returncode == 1
    assert "files are not made yet" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_call_for_one_table_leaves_no_features_to_be_made_again(tmp_path):
    """They are temporary: all that is made of them is made while they are there."""
    one = jobs_of_a_dry_run(TINY, tmp_path, "results/tiny/tables/fid.csv")
    everything = jobs_of_a_dry_run(TINY, tmp_path)
    for rule in ("features", "score", "neighbours"):
        assert one[rule] == everything[rule]
    assert "figure" in everything
    assert "figure" not in one


def test_neighbours_are_saved_without_real_images_where_none_may_be_shown(tmp_path):
    for shown in (True, False):
        done = snakemake(changed(TINY, {"figures.real_images": shown}), tmp_path, "-n", "-p")
        assert done.returncode == 0, done.stderr
        said = done.stdout + done.stderr
        commands = re.findall(r"python -m fpa neighbours .*", said)
        assert len(commands) == len(TINY["models"])
        assert all(("--store" in command) == shown for command in commands)
        assert ("real_samples" in said) == shown


def test_planning_needs_no_torch_so_that_conda_can_bring_it(tmp_path):
    """As where Snakemake is installed, and the rules' own software is not yet."""
    for name in ("torch", "torchvision", "cleanfid", "torch_fidelity", "matplotlib", "seaborn"):
        (tmp_path / "without" / name).mkdir(parents=True)
        (tmp_path / "without" / name / "__init__.py").write_text("raise ImportError('not here')")
    conda = tmp_path / "bin" / "conda"
    conda.parent.mkdir()
    conda.write_text(CONDA)
    conda.chmod(0o755)
    bare = {
        **environment(),
        "PYTHONPATH": f"{tmp_path / 'without'}:{ROOT}",
        "PATH": f"{conda.parent}:{os.environ['PATH']}",
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    # A Snakemake of its own, which has nothing loaded.
    command = [sys.executable, "-m", "snakemake", "-n", "--sdm", "conda", "--cores", "2"]
    files = ["--directory", str(tmp_path), "--configfile", str(tmp_path / "tiny.yaml")]
    done = subprocess.run([*command, *files], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert re.search(r"Conda environment \S*envs/fpa.yaml will be created", said)
    assert re.search(r"^train +2$", said, flags=re.M)


def test_a_comment_in_the_code_or_the_configuration_makes_nothing_again(finished):
    folder, _ = finished
    module = ROOT / "fpa" / "models" / "adversarial_training.py"
    before = module.stat()
    try:
        module.touch()
        assert jobs_of_a_dry_run(TINY, folder) == {}
    finally:
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_bundle_travels_and_everything_is_made_again_from_it(finished, tmp_path):
    folder, _ = finished
    done = snakemake(TINY, folder, "results/tiny/bundle.tar.gz")
    assert done.returncode == 0, done.stderr
    results = folder / "results" / "tiny"
    made = [*(results / "tables").iterdir(), *(results / "figures").iterdir()]
    expected = {path.relative_to(folder): file_digest(path) for path in made}
    expected[Path("results/tiny/report.html")] = file_digest(results / "report.html")
    bundle = tmp_path / "bundle.tar.gz"
    (results / "bundle.tar.gz").rename(bundle)
    tables = {"scores_table", "models_table", "runs_table"}
    light = {*tables, "figure", "animation", "report_page", "all"}
    some = [
        *("results/tiny/tables/scores.csv", "results/tiny/tables/models.csv"),
        *("results/tiny/figures/scores.png", "results/tiny/figures/painting_digits.gif"),
    ]
    for way in ("report", "snakemake"):
        clone = tmp_path / way
        clone.mkdir()
        done = fpa_ok("unpack", bundle, cwd=clone)
        assert not list(clone.rglob("weights.safetensors")) + list(clone.rglob("report.html"))
        if way == "report":
            done = fpa("report", "results/tiny", cwd=clone)
            again = expected
        else:
            # The same things would be made from the same files; some of each kind are.
            assert set(jobs_of_a_dry_run(TINY, clone)) == light
            done = snakemake(TINY, clone, *some)
            again = [Path(name) for name in some]
        assert done.returncode == 0, done.stderr
        assert {path: file_digest(clone / path) for path in again} == {
            path: expected[path] for path in again
        }
        assert not (clone / "data").exists()
        assert not list(clone.rglob("weights.safetensors"))


def test_a_failed_training_stops_no_other_and_the_report_says_so(finished, copied):
    folder, _ = finished
    rate = {**TINY["models"]["fpa_unet"]["settings"]["recipe"], "learning_rate": 1e30}
    config = changed(TINY, {"models.fpa_unet.settings.recipe": rate})
    config["models"]["fpa"]["settings"]["painter"]["steps"] = 5
    done = snakemake(config, copied, "--keep-going", "--until", "score", "run_artifact")
    assert done.returncode != 0
    fpa_ok("report", "results/tiny", cwd=copied)
    page = (copied / "results/tiny/report.html").read_text()
    assert "1 of 2 runs are not finished" in page
    assert "fpa_unet on digits, seed 0: failed: a loss or quick score was NaN" in page
    assert "fpa on digits" in page.split("paintings-data")[1]
    # Figures of the model that failed show the others, not its former run.
    before = (folder / "results/tiny/figures/samples-digits.png").read_bytes()
    assert (copied / "results/tiny/figures/samples-digits.png").read_bytes() != before


def test_another_experiment_shares_no_run_and_touches_no_artifact(finished, small):
    folder, _ = finished
    other = {**small, "experiment": "other"}
    other["models"]["fpa"]["settings"]["painter"]["steps"] = 5
    files = [p for p in (folder / "results" / "tiny").rglob("*") if p.is_file()]
    before = {p: file_digest(p) for p in files}
    done = snakemake(other, folder, "results/other/tables/fid.csv")
    assert done.returncode == 0, done.stderr
    assert {p: file_digest(p) for p in files} == before
    refused = snakemake({**other, "results": "results/tiny"}, folder, "-n")
    assert refused.returncode != 0
    said = [line for line in refused.stderr.splitlines() if "belongs to the experiment" in line]
    assert len(said) == 1
    assert "Traceback" not in refused.stderr


# Every mistake is in tests/unit/test_config.py; here are one of each moment in which they are found.
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.batchsize", 3, "training.batchsize: unknown key; did you mean 'batch_size'?"),
        ("datasets.digits.resolution", 8, "model fpa on digits: the discriminator takes images of"),
        ("results", "/proc/no", "results: cannot make /proc/no"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(tmp_path, key, value, message):
    done = snakemake(changed(TINY, {key: value}), tmp_path)
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if message in line]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "data").exists()


def test_a_workflow_killed_in_training_goes_on_and_ends_with_the_same_bits(finished, tmp_path):
    whole, _ = finished
    # What is there already is not made again.
    shutil.copytree(whole / "data", tmp_path / "data", copy_function=shutil.copy2)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    target = "results/tiny/runs/digits/fpa"
    (name,) = (p.name for p in (whole / target).iterdir())
    weights = f"{target}/{name}/weights.safetensors"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", tmp_path]
    with started(
        *command, weights, "--configfile", tmp_path / "tiny.yaml", stderr=STDOUT
    ) as process:
        while not list(tmp_path.rglob("step-*.pt")):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
    options = ("--directory", tmp_path, "--configfile", tmp_path / "tiny.yaml")
    assert run_snakemake("--unlock", *options).returncode == 0
    done = snakemake(TINY, tmp_path, weights)
    assert done.returncode == 0, done.stderr
    assert file_digest(tmp_path / weights) == file_digest(whole / weights)
