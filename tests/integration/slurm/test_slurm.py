"""`--profile slurm` on a real Slurm: what it is asked for, and a training that it does not leave alone."""

import copy
import json
import os
import re
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from subprocess import STDOUT

import pandas as pd
import pytest
import torch
import yaml
from conftest import HANGING, ROOT, TINY, environment, quick, run, started
from one_node import ACCOUNT, OneNode, Unavailable
from sliced import SLICES

from fpa.core.files import file_digest, write_json
from fpa.core.provenance import STAGES
from fpa.data.sampler import EpochSampler
from fpa.data.sources import store_name
from fpa.data.store import Duplicates, Manifest, SourceRecord, open_store
from fpa.experiment.plan import Plan
from fpa.training.loop import Training
from fpa.training.train_run import train

HERE = Path(__file__).parent
TEXT = (ROOT / "slurm/config.yaml").read_text()
PROFILE = yaml.safe_load(TEXT)
COMMANDS = """
snakemake --profile slurm --configfile experiments/paper.yaml
python -m fpa status results/paper
"""
"""As they are printed; tests/integration/test_docs.py looks for that."""
QUICK = {"latency-wait": 10, "slurm-init-seconds-before-status-checks": 3}
"""The shipped profile spares a busy cluster."""
STEPS = 250
"""More than the starts of the training take that wait for Slurm to end them."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    try:
        with OneNode(tmp_path_factory.mktemp("slurm")) as node:
            yield node
    except Unavailable as reason:
        pytest.skip(f"no Slurm here: {reason}")


def experiment() -> dict:
    """From prepare to fid.csv with one model."""
    model = {"class": "sliced:Sliced", "settings": {"width": 8, "latent_dim": 8}}
    config = quick(TINY, {"sliced": model})
    config["training"] |= {"kimg": STEPS * 0.008, "checkpoint_kimg": 100}
    config["runtime"] = {"device": "auto", "train_threads": 1, "log_every": 10}
    return config


def start(slurm: OneNode, folder: Path, profile: dict, config: dict, *targets: str):
    """Snakemake with a profile on an experiment, in a folder of its own; as `started`."""
    profile = {**profile, **QUICK}
    (folder / "site").mkdir(parents=True)
    (folder / "site/config.yaml").write_text(yaml.safe_dump(profile))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    path = os.pathsep.join(map(str, (HERE, HERE.parents[1], ROOT)))
    return started(
        *(sys.executable, HERE / "impatient.py", *targets),
        *("--profile", folder / "site", "--directory", folder),
        *("--configfile", folder / "config.yaml"),
        env={**environment(), **slurm.environment, "PYTHONPATH": path},
        stderr=STDOUT,
    )


def jobs_of(slurm: OneNode, folder: Path) -> dict[str, list[dict[str, str]]]:
    """Slurm's records of the jobs that were handed in from a folder, by rule or group."""
    found: dict[str, list[dict[str, str]]] = {}
    for job in slurm.jobs():
        name = re.match(r"rule_([a-z_]+?)(_wildcards|$)", job["Comment"])
        if name and job["WorkDir"] == str(folder):
            found.setdefault(name[1], []).append(job)
    return found


@pytest.fixture(scope="module")
def disturbed(slurm, tmp_path_factory):
    """(folder, process) of an experiment whose training is killed, preempted and cut into slices."""
    folder = tmp_path_factory.mktemp("disturbed")
    site = copy.deepcopy(PROFILE)
    # The first start takes 3 GB more than the others, which need somewhat over one. The second has
    # a time limit of two minutes: Slurm looks every half minute, and warns half a minute early.
    site["set-resources"]["train"] |= {
        "mem_mb": "2500 * attempt",
        "runtime": 60,
        "slurm_extra": "'--signal=USR1@75'",
    }
    with start(slurm, folder, site, experiment(), "results/tiny/tables/fid.csv") as process:
        yield folder, process


def test_the_two_profiles_set_different_keys():
    # Of a key in both, Snakemake takes the default profile's and drops the other's whole.
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert not set(default) & set(PROFILE)


def test_every_rule_that_is_a_slurm_job_has_its_memory_in_the_profile():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    local = set(re.findall(r"^rule (\w+):\n(?:.+\n)*?    localrule: True$", rules, flags=re.M))
    named = set(re.findall(r"^(?:rule|use rule \w+ as) (\w+)(?: with)?:$", rules, flags=re.M))
    # One that is made of a local rule is local.
    made_of = re.findall(r"^use rule (\w+) as (\w+) with:$", rules, flags=re.M)
    local |= {name for rule, name in made_of if rule in local}
    assert {"download", "extractor", "plan_run", "figure", "scores_table", "report_page"} <= local
    assert set(PROFILE["set-resources"]) == named - local
    assert all("attempt" in asked["mem_mb"] for asked in PROFILE["set-resources"].values())
    assert {pair.partition("=")[0] for pair in PROFILE["groups"]} <= named - local
    # Of jobs that a group may run at once, Snakemake adds up the machines.
    assert [rule for rule, asked in PROFILE["set-resources"].items() if "nodes" in asked] == [
        "train"
    ]


def site(*keys: str) -> dict:
    """The profile with some of its lines for sites made valid."""
    text = TEXT
    for key in keys:
        text, found = re.subn(rf"# site: (?={key}:)", "", text)
        assert found, f"no line for {key}"
    return yaml.safe_load(text)


SITES = {
    "partitions, account and model": (
        ("slurm_partition", "slurm_account", "gpu_model"),
        {
            "cost": {"Partition": "gpu", "Account": ACCOUNT, "TresPerJob": "gres:gpu:a100:1"},
            "prepare": {"Partition": "cpu", "Account": ACCOUNT, "TresPerJob": None},
        },
    ),
    "gres": (
        ("slurm_partition", "gpu", "gres", "slurm_extra"),
        {
            "cost": {
                **{"Partition": "gpu", "TresPerNode": "gres:gpu:1", "TresPerJob": None},
                "OverSubscribe": "NO",
            },
            "prepare": {"Partition": "cpu", "TresPerNode": None},
        },
    ),
}


def cost_of_a_run(config: dict, folder: Path, run: dict | None = None) -> str:
    """A target that needs nothing but a run's description, which is written; the broken one is `{}`."""
    (planned,) = Plan(config).runs
    at = f"results/tiny/{planned.folder}"
    write_json(folder / at / "run.json", planned.as_json() if run is None else run)
    return f"{at}/cost.json"


@pytest.mark.parametrize(("keys", "expected"), SITES.values(), ids=SITES)
def test_lines_for_sites_ask_for_it(disturbed, slurm, tmp_path, monkeypatch, keys, expected):
    monkeypatch.syspath_prepend(HERE)
    config = experiment()
    store = store_name(Plan(config).datasets["digits"])
    targets = (cost_of_a_run(config, tmp_path), f"data/{store}/images.npy")
    with asked_for(slurm, tmp_path, site(*keys), config, *targets) as jobs:
        for rule, asked in expected.items():
            (job,) = jobs(*expected)[rule]
            assert {key: job.get(key) for key in asked} == asked


@contextmanager
def asked_for(slurm, folder, profile, config, *targets):
    """A function that waits for jobs of some rules, which do not start, and returns their records."""
    with start(slurm, folder, profile, config, *targets) as process:

        def jobs(*rules: str):
            while not set(rules) <= set(jobs_of(slurm, folder)):
                assert process.poll() is None, process.communicate()
                time.sleep(0.5)
            return jobs_of(slurm, folder)

        yield jobs


def test_a_training_on_two_gpus_asks_for_the_cores_of_both(disturbed, slurm, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    config = experiment()
    config["runtime"] |= {"gpus": 2, "train_threads": 3}
    (run,) = Plan(config).runs
    manifest = Manifest(
        dataset=Plan(config).datasets["digits"],
        count=1,
        source=SourceRecord(name="digits", kind="", files_sha256=""),
        images_sha256="0",
        names=[""],
        unreadable=[],
        ignored=[],
        duplicates=Duplicates(files=0, images=0, groups=[]),
        stages={"prepare": STAGES["prepare"]},
        versions={},
    )
    for name in ("images.npy", "manifest.json"):
        write_json(tmp_path / "data" / run.store / name, manifest.as_json())
    target = f"results/tiny/{run.folder}/weights.safetensors"
    with asked_for(slurm, tmp_path, site("slurm_partition"), config, target) as jobs:
        ((job,),) = jobs("train").values()
    assert (job["TresPerJob"], job["CPUs/Task"], job["NumNodes"]) == ("gres:gpu:2", "6", "1-1")


def test_a_job_that_says_what_is_wrong_is_not_tried_again(disturbed, slurm, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    config = experiment()
    target = cost_of_a_run(config, tmp_path, run={})
    with start(slurm, tmp_path, PROFILE, config, target) as process:
        said, _ = process.communicate(timeout=HANGING)
    assert process.returncode == 1, said
    (log,) = (tmp_path / "results/tiny/logs/cost").iterdir()
    assert log.read_text().count("expected a resolved run") == 1
    ((job,),) = jobs_of(slurm, tmp_path).values()
    assert job["JobState"] == "FAILED"


def test_the_commands_of_the_documents_run_on_a_login_node(slurm, tmp_path):
    """In a folder with the repository's files; the experiment is small, and Snakemake impatient."""
    for name in ("Snakefile", "workflow", "fpa", "profiles", "baselines"):
        (tmp_path / name).symlink_to(ROOT / name)
    dcgan = {"class": "baselines.dcgan:DCGAN", "settings": {"width": 8, "latent_dim": 8}}
    paper = {**quick(TINY, {"dcgan": dcgan}), "experiment": "paper"}
    paper |= {"plugins": ["thumbnails", "few"], "runtime": {"cost_seconds": 0.1}}
    texts = {"experiments/paper.yaml": paper, "slurm/config.yaml": {**PROFILE, **QUICK}}
    program = tmp_path / "bin/snakemake"
    for path in (*texts, program):
        (tmp_path / path).parent.mkdir()
    for name, content in texts.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "impatient.py"} "$@"\n')
    program.chmod(0o755)
    env = {**environment(), **slurm.environment}
    env["PATH"] = os.pathsep.join(
        [str(program.parent), str(Path(sys.executable).parent), env["PATH"]]
    )
    for command in COMMANDS.strip().splitlines():
        done = run("bash", "-c", command, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "dcgan" in done.stdout
    assert (tmp_path / "results/paper/report.html").exists()
    assert {"prepare", "train", "cost"} < set(jobs_of(slurm, tmp_path))


def test_a_training_survives_a_kill_a_preemption_and_slices(disturbed, slurm, monkeypatch):
    folder, process = disturbed
    said, _ = process.communicate(timeout=HANGING)
    assert process.returncode == 0, said
    table = pd.read_csv(folder / "results/tiny/tables/fid.csv")
    assert table["fid"].notna().all()

    # Complete means that the budget is spent, in however many slices.
    (run,) = (folder / "results/tiny/runs/digits/sliced").iterdir()
    assert json.loads((run / "train.json").read_text())["steps"] == STEPS
    history = pd.read_csv(run / "history.csv")
    assert history["step"].is_monotonic_increasing
    assert history["step"].iloc[-1] == STEPS

    # Killed once for its memory, it asks for more; all slices after that are one job's.
    jobs = jobs_of(slurm, folder)
    killed, sliced = jobs.pop("train")
    assert killed["JobState"] in ("FAILED", "OUT_OF_MEMORY")
    assert (killed["MinMemoryNode"], sliced["MinMemoryNode"]) == ("2500M", "5000M")
    assert (killed["Restarts"], sliced["Restarts"]) == ("0", str(SLICES - 1))
    # One of them was a preemption, which Slurm asks for and answers itself.
    told = (slurm.folder / "slurmd.log").read_text()
    ends = re.findall(rf"JOB {sliced['JobId']} ON .* CANCELLED AT \S+ DUE TO (.*) \*\*\*", told)
    assert Counter(ends) == {"PREEMPTION": 1, "JOB REQUEUE": SLICES - 2}
    assert f"[{killed['JobId']}.batch] error: Exceeded job memory limit" in told

    # Scores of a run are one job; tables are made here.
    scores = "scores_features_neighbours_sample_score"
    assert set(jobs) == {"prepare", "real_features", scores}
    gpu = {"real_features", scores}
    for name, (job,) in jobs.items():
        assert job["JobState"] == "COMPLETED"
        assert job.get("TresPerJob") == ("gres:gpu:1" if name in gpu else None)
    asked = PROFILE["set-resources"]
    largest = max(int(asked[r]["mem_mb"].split(" * ")[0]) for r in ("sample", "features", "score"))
    assert jobs[scores][0]["MinMemoryNode"] == f"{largest}M"
    assert jobs[scores][0]["CPUs/Task"] == "1"
    assert jobs["prepare"][0]["CPUs/Task"] == str(PROFILE["set-threads"]["prepare"])

    if not torch.cuda.is_available():
        assert file_digest(run / "weights.safetensors") == undisturbed(folder, monkeypatch)


def undisturbed(folder: Path, monkeypatch) -> str:
    """Digest of the weights that the same training ends with when nothing happens to it."""
    monkeypatch.syspath_prepend(HERE)
    (run,) = Plan(experiment()).runs
    store = folder / "data" / store_name(Plan(experiment()).datasets["digits"])
    images, manifest = open_store(store)
    feed = EpochSampler(images, run.training.batch_size, run.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(
        Training(run, feed, manifest.images_sha256, torch.device("cpu"), log_every=10),
        folder / "undisturbed",
    )
    torch.set_num_threads(threads)
    return file_digest(folder / "undisturbed" / "weights.safetensors")
