"""`--profile slurm` on a real Slurm: the whole way, with a time limit shorter than the training."""

import copy
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from conftest import ROOT, TINY, environment
from one_node import OneNode, Unavailable

PROFILE = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
GPU_RULES = ("real_features", "train", "sample", "features")
STEPS = 120


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    try:
        with OneNode(tmp_path_factory.mktemp("slurm")) as node:
            yield node
    except Unavailable as reason:
        pytest.skip(f"no Slurm here: {reason}")


def experiment() -> dict:
    """From prepare to fid.csv with one model, whose first attempt would take four minutes."""
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

    records = slurm.jobs()
    jobs = {}
    for record in records:
        rule = record["Comment"].split("_wildcards")[0].removeprefix("rule_")
        jobs.setdefault(rule, []).append(record)
    print(json.dumps(records, indent=1))
    print({rule: [r["JobState"] for r in found] for rule, found in jobs.items()})
