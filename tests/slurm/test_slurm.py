"""`--profile slurm` on a real Slurm: the whole way, with a time limit shorter than the training."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, TINY, environment
from one_node import OneNode, Unavailable

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
    """From prepare to fid.csv with one model, whose first attempt would take two minutes."""
    config = copy.deepcopy(TINY)
    config["models"] = {
        "slow": {"class": "slow:Slow", "settings": {"width": 8, "latent_dim": 8}},
    }
    config["training"] |= {"kimg": STEPS * 0.008, "checkpoint_kimg": 0.8, "watch_kimg": 0}
    config["evaluation"] |= {"checkpoint": "last", "cross_check": False, "metrics": ["fid", "kid"]}
    config["runtime"] = {"device": "auto", "train_threads": 1, "log_every": 10}
    return config


def test_the_two_profiles_set_different_keys():
    # Of a key in both, Snakemake takes the default profile's and drops the other's whole.
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert not set(default) & set(PROFILE)


def test_an_experiment_runs_in_slurm_and_survives_its_time_limit(slurm, tmp_path):
    site = copy.deepcopy(PROFILE)
    site["set-resources"]["train"] |= {"runtime": 1, "slurm_extra": "'--signal=USR1@5'"}
    # The shipped ones spare a busy cluster.
    site |= {"slurm-init-seconds-before-status-checks": 8, "latency-wait": 10}
    (tmp_path / "site").mkdir()
    (tmp_path / "site/config.yaml").write_text(yaml.safe_dump(site))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(experiment()))
    path = f"{ROOT / 'tests/slurm'}{os.pathsep}{ROOT}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "results/tiny/tables/fid.csv"),
            *("--profile", str(tmp_path / "site"), "--directory", str(tmp_path)),
            *("--configfile", str(tmp_path / "config.yaml")),
        ],
        cwd=ROOT,
        env={**environment(), **slurm.environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout + done.stderr
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
        assert len(failed) >= 1 if rule == "train" else not failed
        asked = site["set-resources"][rule]
        memory = int(asked["mem_mb"].split(" * ")[0])
        for number, record in enumerate(attempts, start=1):
            assert record["MinMemoryNode"] == f"{memory * min(number, 3)}M"
            assert record["CPUs/Task"] == str(CPUS.get(rule, 1))
            hours, minutes = divmod(asked["runtime"], 60)
            assert record["TimeLimit"] == f"{hours:02}:{minutes:02}:00"
            assert record.get("TresPerJob") == ("gres:gpu:1" if rule in GPU_RULES else None)

    # The first attempt saved what it had, the next one went on from there.
    logs = [Path(record["StdOut"]) for record in jobs["train"]]
    assert re.search(r"stopped by SIG(USR1|TERM): saved step", logs[0].read_text())
    (log,) = (tmp_path / "results/tiny/logs/train").iterdir()
    assert "going on from step" in log.read_text()


def test_every_rule_that_is_a_slurm_job_has_its_memory_in_the_profile():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    blocks = re.findall(r"^localrules:\n((?:    \w+,\n)+)", rules, flags=re.M)
    local = set(re.findall(r"\w+", "".join(blocks)))
    named = re.findall(r"^rule (\w+):$", rules, flags=re.M)
    assert {"download", "extractor", "plan_run"} <= local
    assert set(PROFILE["set-resources"]) == set(named) - local
