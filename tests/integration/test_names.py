"""The workflow's folders and labels may have any characters: nothing of them reaches a shell."""

import yaml
from conftest import run_snakemake, snakemake

from fpa.experiment.plan import Plan

ODD = "re sults'\";touch canary;$(touch canary)`touch canary`&#%*?é🎨"
LABEL = "<b>'\"; touch canary $(touch canary) `touch canary` {run} {{x}} \\input{y} & # % _ ../"


def test_a_key_that_stands_twice_is_refused_before_anything_runs(small, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(f"{yaml.safe_dump(small)}\nseeds: [0]\nseeds: [1]\n")
    done = run_snakemake("--dry-run", "--directory", tmp_path, "--configfile", path)
    assert done.returncode == 1
    assert "configuration error" in done.stderr
    assert "the key 'seeds' stands there twice" in done.stderr


def test_rules_quote_folders_and_labels(small, tmp_path):
    small["models"]["fpa"]["label"] = LABEL
    small["results"], small["data"] = ODD, f"data of {ODD}"
    done = snakemake(small, tmp_path, "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stderr
    # Some jobs for real, through a shell: in each of the folders.
    (run,) = Plan({**small, "results": str(tmp_path / ODD)}).runs
    made = [f"{ODD}/{run.folder}/run.json", f"{small['data']}/{run.store}/manifest.json"]
    done = snakemake(small, tmp_path, *made)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / path).exists() for path in made)
    assert not list(tmp_path.rglob("canary"))
