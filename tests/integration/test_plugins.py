"""A rule, a metric and an extractor of a user's module, and an imported checkpoint, all the way to table and page."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import official
import pandas as pd
import pytest
import torch
import yaml
from conftest import SMALL, fpa_ok, quick, score_by_hand

from fpa.core import artifacts
from fpa.data.sources import store_name
from fpa.evaluation.path_length import EPSILON
from fpa.evaluation.sampling import sample_latents
from fpa.experiment.plan import Plan
from fpa.library import load
from fpa.workflow.workflow import Workflow


@pytest.fixture
def config(tiny):
    fpa = tiny["models"]["fpa"]
    fpa["settings"]["painter"]["rule"] = "fixed_rate_oja"
    paths = {"extractor": "squared", "resize": "pairs", "n_fake": 40}
    config = quick(tiny, {"fpa": fpa}, {**SMALL, "paths": paths})
    config["plugins"] = ["plugin_example", "thumbnails"]
    config["evaluation"] = {**config["evaluation"], "metrics": ["fid", "mean_gap"]}
    return config


def path_length(run: Path) -> float:
    """Of 40 paths by the definition, one at a time."""
    model = load(run, "last")
    latents = sample_latents(80, model.latent_dim, 0)
    lengths = []
    for start, end in zip(latents[:40], latents[40:], strict=True):
        both = torch.stack([start, start + EPSILON * (end - start)])
        with torch.no_grad():
            one, two = 255 * model.ema(both).clamp(0, 1)
        lengths.append(float(((one - two) ** 2).mean()) / EPSILON**2)
    return np.mean(lengths)  # the percentiles leave out none of 40


def test_a_users_rule_metric_and_extractor_are_in_table_figure_and_page(config, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    def run(*words: object) -> str:
        done = fpa_ok(*words, cwd=tmp_path)
        return done.stdout

    run("plan", "--write")
    experiment = Plan(config)
    (planned,) = experiment.runs
    folder = tmp_path / experiment.results / planned.folder
    assert planned.model.settings["painter"]["rule"] == "fixed_rate_oja"
    run("prepare", "digits")
    store = tmp_path / "data" / store_name(experiment.datasets["digits"])
    run("train", folder / "run.json", "--store", store, "--device", "cpu", "--threads", 1)
    score = folder / experiment.score_file("small")
    names = ("--protocol", "small")
    score_by_hand(tmp_path, folder, store, score, *names, metrics=("fid", "mean_gap"))
    real, fake = store / "features.thumbnails-16px.clean.array.npy", tmp_path / "fake.npy"
    pairs = tmp_path / "data/extractors/squared.json"
    run("extractor", "squared", "--out", pairs)
    paths = folder / experiment.score_file("paths")
    how = ("--count", 40, "--checkpoint", "last", "--protocol", "paths", "--device", "cpu")
    run("path-length", folder, "--extractor", pairs, *how, "--out", paths)
    paintings = folder / "paintings-last-n2-seed0.npz"
    run("paint", folder, "--count", 2, "--out", paintings, "--device", "cpu")
    # As the workflow's rule asks for it.
    again = folder / "again.npz"
    run("artifact", "paintings", folder, "--count", 2, "--out", again, "--device", "cpu")
    assert again.read_bytes() == paintings.read_bytes()
    run("report", experiment.results)

    results = tmp_path / experiment.results
    table = pd.read_csv(results / "tables/scores.csv")
    gap = np.linalg.norm(np.load(real).mean(0) - np.load(fake).mean(0))
    (value,) = table.loc[table["metric"] == "mean_gap", "value"]
    assert value == pytest.approx(gap, rel=1e-5)
    of_paths = table[table["metric"] == "ppl"].iloc[0]
    assert (of_paths["extractor"], of_paths["n_fake"]) == ("squared", 40)
    assert of_paths["value"] == pytest.approx(path_length(folder), rel=1e-3)
    assert set(table["extractor"]) == {"thumbnails-16px", "squared"}
    assert "40 paths between latents" in (results / "tables/scores.md").read_text()
    assert "mean gap" in (results / "tables/scores.md").read_text()
    assert (results / "figures/scores.png").exists()
    page = (results / "report.html").read_text()
    assert "mean gap" in page
    assert "thumbnails-16px" in page
    assert "rule: fixed_rate_oja" in page
    # The page's player and the figures need nothing but the two factors of each update.
    with np.load(paintings) as trace:
        made = np.einsum("ncti,nctj->ncij", trace["left"], trace["right"])
        np.testing.assert_allclose(np.tanh(made), trace["painted"], atol=1e-5)
    assert (results / "figures/painting-digits-fpa.png").exists()
    assert json.loads(score.read_text())["metrics"].keys() == {"fid", "mean_gap"}


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
