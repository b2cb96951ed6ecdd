"""An imported checkpoint as a model of an experiment: scored, in the table and on the page."""

from types import SimpleNamespace

import official
import pandas as pd
import torch
import yaml
from conftest import fpa_ok, score_by_hand

from fpa.core import artifacts
from fpa.data.sources import store_name
from fpa.experiment.plan import Plan
from fpa.workflow.workflow import Workflow

ARGS = {**official.ARGS, "greyscale": True, "latent_dim": 8, "fmap_max": 8}


def test_an_imported_run_has_a_row_in_the_table_and_on_the_page(small, tmp_path, monkeypatch):
    small["models"] = {"official": {"run": "imported/run", "label": "published weights"}}
    small["evaluation"] |= {"metrics": ["fid"], "cross_check": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(small))
    (tmp_path / "imported").mkdir()

    def run(*words: object) -> None:
        fpa_ok(*words, cwd=tmp_path)

    torch.manual_seed(0)
    saved = official.contents(official.gan(ARGS))
    run("import-official", *official.write(tmp_path / "imported", saved, ARGS))
    run("plan", "--write")
    monkeypatch.chdir(tmp_path)
    experiment = Plan(small)
    (planned,) = experiment.runs
    results = tmp_path / experiment.results
    folder = results / planned.folder
    run("prepare", "digits")
    store = tmp_path / "data" / store_name(experiment.datasets["digits"])

    # What the workflow's rule gives the verb.
    workflow = Workflow(experiment)
    job = SimpleNamespace(dataset="digits", model="official", run=planned.name)
    inputs = workflow.train_inputs(job)
    assert set(inputs) == {"images", "manifest", "finished"}
    options = workflow.train_options(job, Inputs(inputs))
    run("train", folder / "run.json", *options, "--device", "cpu")

    score_by_hand(
        *(tmp_path, folder, store, folder / experiment.score_file("small"), "--protocol", "small"),
        checkpoint="best",
        metrics=("fid",),
    )
    run("report", results)
    (row,) = pd.read_csv(results / artifacts.table("scores")).to_dict("records")
    assert (row["model"], row["kimg"]) == ("official", 0.04)
    assert (row["metric"], row["status"]) == ("fid", "ok")
    page = (results / artifacts.REPORT).read_text()
    assert "published weights" in page
    assert "not known" in page


class Inputs(dict):
    """Snakemake's input: values by name, as keys and as attributes."""

    __getattr__ = dict.__getitem__
