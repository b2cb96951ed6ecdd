"""Where the workflow can be started from: the root, elsewhere, another workflow's Snakefile, folders of any name."""

import copy
import os
import re
import subprocess
from pathlib import Path

import conftest
import pytest
import yaml
from conftest import ROOT, TINY, run_snakemake

from fpa.core import artifacts
from fpa.experiment.config import Config
from fpa.experiment.plan import Plan

OUTER = f"""
configfile: "config.yaml"


rule all:
    input:
        "summary.txt",


module painters:
    snakefile:
        "{ROOT}/workflow/Snakefile"
    config:
        config["painters"]


use rule * from painters as painters_*


rule summary:
    input:
        rules.painters_all.input,
    output:
        "summary.txt",
    shell:
        "ls {{input}} > {{output}}"
"""


def snakemake(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run Snakemake as from a shell that knows nothing of this repository."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FPA_", "PYTHONPATH"))}
    return run_snakemake("--cores", 2, *words, cwd=cwd, env=env)


def planned(done: subprocess.CompletedProcess) -> dict[str, int]:
    """rule -> number of jobs that a dry run lists."""
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.M)
    return {rule: int(count) for rule, count in rows}


@pytest.fixture
def outer(tmp_path) -> Path:
    """Another workflow, whose configuration holds the tiny experiment as a part."""
    (tmp_path / "Snakefile").write_text(OUTER)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"painters": TINY}))
    return tmp_path


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
@pytest.mark.parametrize("from_root", [True, False], ids=["from the root", "from elsewhere"])
def test_both_snakefiles_plan_the_default_experiment(snakefile, from_root, tmp_path):
    words = ["-n", "-s", ROOT / snakefile]
    if from_root:
        done = snakemake(*words, "--directory", tmp_path)
    else:
        done = snakemake(*words, cwd=tmp_path)
    jobs = planned(done)
    models = yaml.safe_load((ROOT / "config.yaml").read_text())["models"]
    assert (jobs["all"], jobs["train"]) == (1, len(models))


@pytest.mark.parametrize("missing", [["experiment"], ["experiment", "datasets", "models"]])
def test_a_configuration_of_no_experiment_is_not_mixed_with_the_default(missing, tmp_path):
    config = {key: value for key, value in TINY.items() if key not in missing}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake("-n", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml")
    assert done.returncode != 0
    (said,) = (line for line in done.stderr.splitlines() if not line.startswith("Using "))
    assert said == f"configuration error: configuration: missing {', '.join(missing)}"
    assert "train" not in done.stdout


def test_single_values_need_the_experiment_that_they_change(tmp_path):
    words = ("-n", "--directory", tmp_path, "--config", "results=mine")
    done = snakemake(*words)
    assert done.returncode != 0
    assert "configuration error: configuration: missing experiment" in done.stderr
    done = snakemake(*words, "--configfile", ROOT / "config.yaml")
    assert done.returncode == 0, done.stderr
    assert "mine/tables/fid.csv" in done.stdout + done.stderr


def test_an_empty_configuration_of_a_module_is_not_the_default(outer):
    (outer / "config.yaml").write_text("painters: {}\n")
    done = snakemake("-n", cwd=outer)
    assert done.returncode != 0
    assert "configuration error: configuration: missing experiment" in done.stderr


def test_another_workflow_plans_this_one_as_a_part_of_its_own(outer):
    jobs = planned(snakemake("-n", cwd=outer))
    assert jobs["painters_train"] == len(TINY["models"])
    assert jobs["painters_report_page"] == 1
    assert (jobs["summary"], jobs["all"]) == (1, 1)
    assert "painters_all" not in jobs


def test_another_workflow_makes_data_and_runs_of_this_one(outer):
    # One target is a shell command's, the other Python's.
    experiment = Plan(copy.deepcopy(TINY))
    (store,) = {run.store for run in experiment.runs}
    images = f"data/{artifacts.store_images(store)}"
    run = f"results/tiny/{experiment.runs[0].folder}/{artifacts.RUN}"
    done = snakemake(images, run, cwd=outer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (outer / images).stat().st_size > 1797 * 16 * 16
    assert yaml.safe_load((outer / run).read_text()) == experiment.runs[0].as_json()
    # On a cluster, what runs beside Snakemake does so under its new name too.
    assert "localrules directive specifies rules that are not present" not in done.stderr


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
    done = conftest.snakemake(small, tmp_path, "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stderr
    # Some jobs for real, through a shell: in each of the folders.
    (run,) = Plan({**small, "results": str(tmp_path / ODD)}).runs
    made = [f"{ODD}/{run.folder}/run.json", f"{small['data']}/{run.store}/manifest.json"]
    done = conftest.snakemake(small, tmp_path, *made)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / path).exists() for path in made)
    assert not list(tmp_path.rglob("canary"))


def example(language: str) -> str:
    """The code block in this language in the description of configurations."""
    text = (ROOT / "config/README.md").read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.S | re.M)
    return block


def test_the_smallest_configuration_described_is_whole(tmp_path):
    (tmp_path / "mine.yaml").write_text(example("yaml"))
    done = snakemake("-n", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml")
    assert planned(done)["train"] == 1


def test_the_module_described_is_planned(outer):
    snakefile = example("python").replace("path/to/this/repository", str(ROOT))
    (outer / "Snakefile").write_text('configfile: "config.yaml"\n\n\n' + snakefile)
    jobs = planned(snakemake("-n", cwd=outer))
    assert (jobs["painters_train"], jobs["all"]) == (len(TINY["models"]), 1)


def test_the_description_of_configurations_names_every_key_and_links_to_files():
    text = (ROOT / "config/README.md").read_text()
    listed = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", text, flags=re.M)))
    assert sorted(listed) == sorted(Config.model_fields)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "config" / target).exists(), target
