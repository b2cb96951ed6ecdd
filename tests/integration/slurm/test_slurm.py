"""`--profile slurm` on a real Slurm: the whole way, with a time limit shorter than the training."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, TINY, environment
from one_node import OneNode, Unavailable

from fpa.common.files import file_digest
from fpa.data.feed import Feed
from fpa.data.sources import store_name
from fpa.data.store import open_store
from fpa.experiment.plan import Experiment
from fpa.training.loop import Training, train

PROFILE = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
GPU_RULES = ("real_features", "train", "sample", "features")
CPUS = {"prepare": 8, "real_features": 4}
STEPS = 60


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    try:
        with OneNode(tmp_path_factory.mktemp("slurm")) as node:
            yield node
    except Unavailable as reason:
        pytest.skip(f"no Slurm here: {reason}")


def experiment() -> dict:
    """From prepare to fid.csv with one model, whose first attempts would take two minutes."""
    config = copy.deepcopy(TINY)
    config["models"] = {
        "slow": {"class": "slow:Slow", "settings": {"width": 8, "latent_dim": 8}},
    }
    config["training"] |= {"kimg": STEPS * 0.008, "checkpoint_kimg": 0.04, "watch_kimg": 0}
    config["evaluation"] |= {"checkpoint": "last", "cross_check": False, "metrics": ["fid", "kid"]}
    config["runtime"] = {"device": "auto", "train_threads": 1, "log_every": 10}
    return config


def test_the_two_profiles_set_different_keys():
    # Of a key in both, Snakemake takes the default profile's and drops the other's whole.
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert not set(default) & set(PROFILE)


def kill_training(slurm: OneNode, folder: Path, process: subprocess.Popen) -> None:
    """SIGKILL to all processes of the training's Slurm job, once it has saved some steps."""
    while len(list(folder.glob("results/tiny/runs/digits/slow/*/state/step-*.pt"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.5)
    jobs = [job for job in slurm.jobs() if job["JobState"] == "RUNNING"]
    (training,) = (job for job in jobs if job["Comment"].startswith("rule_train"))
    for pid in slurm.pids(training["JobId"]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_an_experiment_runs_in_slurm_and_survives_a_kill_and_its_time_limit(
    slurm, tmp_path, monkeypatch
):
    site = copy.deepcopy(PROFILE)
    # Slurm may send the signal a minute early; by then the first attempt is dead.
    site["set-resources"]["train"] |= {"runtime": 2, "slurm_extra": "'--signal=USR1@5'"}
    # The shipped ones spare a busy cluster.
    site |= {"slurm-init-seconds-before-status-checks": 8, "latency-wait": 10}
    (tmp_path / "site").mkdir()
    (tmp_path / "site/config.yaml").write_text(yaml.safe_dump(site))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(experiment()))
    path = f"{ROOT / 'tests/integration/slurm'}{os.pathsep}{ROOT}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "results/tiny/tables/fid.csv"),
            *("--profile", str(tmp_path / "site"), "--directory", str(tmp_path)),
            *("--configfile", str(tmp_path / "config.yaml")),
        ],
        cwd=ROOT,
        env={**environment(), **slurm.environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        kill_training(slurm, tmp_path, process)
        said, _ = process.communicate(timeout=540)
    finally:
        process.kill()
    assert process.returncode == 0, said
    table = pd.read_csv(tmp_path / "results/tiny/tables/fid.csv")
    assert table["fid"].notna().all()

    # Complete means that the budget is spent, in however many attempts.
    (run,) = (tmp_path / "results/tiny/runs/digits/slow").iterdir()
    assert json.loads((run / "train.json").read_text())["steps"] == STEPS
    history = pd.read_csv(run / "history.csv")
    assert history["step"].is_monotonic_increasing
    assert history["step"].iloc[-1] == STEPS

    jobs: dict[str, list[dict[str, str]]] = {}
    for record in slurm.jobs():
        rule = re.match(r"rule_(\w+?)(_wildcards|$)", record["Comment"])[1]
        jobs.setdefault(rule, []).append(record)
    single = ["prepare", "real_features", "sample", "features", "score"]
    assert set(jobs) == {*single, "train", "scores_table"}
    for rule, attempts in jobs.items():
        *failed, last = [record["JobState"] for record in attempts]
        assert last == "COMPLETED"
        assert len(failed) >= 2 if rule == "train" else not failed
        asked = site["set-resources"][rule]
        memory = int(asked["mem_mb"].split(" * ")[0])
        for number, record in enumerate(attempts, start=1):
            assert record["MinMemoryNode"] == f"{memory * min(number, 3)}M"
            assert record["CPUs/Task"] == str(CPUS.get(rule, 1))
            hours, minutes = divmod(asked["runtime"], 60)
            assert record["TimeLimit"] == f"{hours:02}:{minutes:02}:00"
            assert record.get("TresPerJob") == ("gres:gpu:1" if rule in GPU_RULES else None)

    # The first attempt was killed, the second one saved what it had, the last one went on from there.
    # (Of a job that ends well, the log is not kept.)
    killed, limited = (Path(record["StdOut"]).read_text() for record in jobs["train"][:2])
    assert "saved step" not in killed
    assert re.search(r"stopped by SIG(USR1|TERM): saved step", limited)
    (log,) = (tmp_path / "results/tiny/logs/train").iterdir()
    assert "going on from step" in log.read_text()

    if not torch.cuda.is_available():
        assert file_digest(run / "weights.safetensors") == undisturbed(tmp_path, monkeypatch)


def undisturbed(folder: Path, monkeypatch) -> str:
    """Digest of the weights that the same training ends with when nothing happens to it."""
    monkeypatch.setattr("slow.Slow.pause", 0)
    (run,) = Experiment(experiment()).runs
    store = folder / "data" / store_name(Experiment(experiment()).datasets["digits"])
    images, manifest = open_store(store)
    feed = Feed(images, run.training["batch_size"], run.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(
        Training(run, feed, manifest["images_sha256"], torch.device("cpu"), log_every=10),
        folder / "undisturbed",
    )
    torch.set_num_threads(threads)
    return file_digest(folder / "undisturbed" / "weights.safetensors")


def test_every_rule_that_is_a_slurm_job_has_its_memory_in_the_profile():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    local = set(re.findall(r"^rule (\w+):\n(?:.+\n)*?    localrule: True$", rules, flags=re.M))
    named = re.findall(r"^rule (\w+):$", rules, flags=re.M)
    assert {"download", "extractor", "plan_run"} <= local
    assert set(PROFILE["set-resources"]) == set(named) - local
