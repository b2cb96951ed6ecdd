"""An imported checkpoint as a model of an experiment: scored, in the table and on the page."""

from types import SimpleNamespace

import official
import pandas as pd
import torch
import yaml
from conftest import fpa_ok

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
    extractor = tmp_path / "data/extractors/thumbnails-16px.json"
    run("extractor", "thumbnails-16px", "--out", extractor)

    # What the workflow's rule gives the verb.
    workflow = Workflow(experiment)
    job = SimpleNamespace(dataset="digits", model="official", run=planned.name)
    inputs = workflow.train_inputs(job)
    assert set(inputs) == {"images", "manifest", "finished"}
    options = workflow.train_options(job, Inputs(inputs))
    run("train", folder / "run.json", *options, "--device", "cpu")

    run("sample", folder, "--count", 32, "--checkpoint", "best", "--out", experiment.sampled)
    options = ("--extractor", extractor, "--space", "thumbnails-16px.clean.array")
    run("features", store, *options, "--out", "real.npy", "--device", "cpu")
    run("features", experiment.sampled, *options, "--out", "fake.npy", "--device", "cpu")
    score = folder / experiment.score_file("small")
    names = ("--protocol", "small", "--metrics", "fid", "--groups", 4, "--checkpoint", "best")
    run("score", folder, "--fake", "fake.npy", "--real", "real.npy", *names, "--out", score)
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
