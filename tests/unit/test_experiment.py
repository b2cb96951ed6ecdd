"""`experiment.json`: what a plan writes is what tables, figures and page read, and stays readable."""

import json
import tarfile

import pytest
from conftest import ROOT, TINY, changed

from fpa.core.errors import UserError
from fpa.core.files import write_json
from fpa.experiment.experiment import Experiment
from fpa.experiment.plan import Plan

KEPT = sorted((ROOT / "results/published").glob("*/bundle.tar.gz"))


@pytest.fixture(params=KEPT, ids=lambda path: path.parent.name)
def kept(request) -> dict:
    """The description of kept results."""
    with tarfile.open(request.param) as bundle:
        return json.load(bundle.extractfile("experiment.json"))


def test_what_is_written_is_read_as_the_same_object(tmp_path):
    written = Plan({**TINY, "claims": str(ROOT / "experiments/claims.yaml")}).experiment
    written.write(tmp_path)
    read = Experiment.read(tmp_path)
    assert read.as_json() == written.as_json()
    before = (tmp_path / "experiment.json").stat().st_mtime_ns
    read.write(tmp_path)
    assert (tmp_path / "experiment.json").stat().st_mtime_ns == before


def test_kept_results_are_read_as_they_were_written(kept):
    experiment = Experiment.parse(kept, "experiment.json")
    again = {**experiment.as_json(), "config": experiment.configuration()}
    assert json.dumps(again, sort_keys=True) == json.dumps(kept, sort_keys=True)
    assert list(experiment.labels) == [model["name"] for model in kept["models"]]


def test_what_older_versions_lack_and_later_ones_add_does_no_harm(kept):
    del kept["config"]["figures"]["neighbours"]
    del kept["shown_samples"]
    kept.pop("claims", None)
    kept["config"]["evaluation"]["added"] = kept["added"] = 1
    experiment = Experiment.parse(kept, "experiment.json")
    assert experiment.config.figures.neighbours == 10
    assert experiment.shown_samples == max(p["n_fake"] for p in kept["protocols"])
    assert experiment.claims == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, "was written by an older version"),
        ({"runs": 3}, "runs: expected a list, found 3"),
        ({"config": {"experiment": "x"}}, "config: missing datasets, models"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, change, message):
    values = {**Plan(TINY).experiment.as_json(), **change}
    write_json(tmp_path / "experiment.json", {k: v for k, v in values.items() if v is not None})
    with pytest.raises(UserError, match=message) as error:
        Experiment.read(tmp_path)
    assert "\n" not in str(error.value)


def test_runs_are_found_by_data_set_model_and_seed():
    experiment = Plan({**TINY, "seeds": [3, 1]}).experiment
    assert (experiment.config.seeds, experiment.first_seed) == ((3, 1), 3)
    assert {run.seed for run in experiment.runs_of(model="fpa")} == {1, 3}
    (run,) = experiment.runs_of("digits", "lightgan", 1)
    assert run.folder.startswith("runs/digits/lightgan/seed1-")
    assert experiment.runs_of(dataset="birds") == []


def test_a_model_may_be_trained_with_some_of_the_seeds():
    every = Plan({**TINY, "seeds": [3, 1, 2]})
    some = Plan(changed({**TINY, "seeds": [3, 1, 2]}, {"models.fpa_unet.seeds": [1, 3]}))
    left_out = [run for run in every.experiment.runs if run not in some.experiment.runs]
    assert [(run.model, run.seed) for run in left_out] == [("fpa_unet", 2)]
    assert [run.seed for run in some.experiment.runs_of(model="fpa_unet")] == [3, 1]
    read = Experiment.parse(some.experiment.as_json(), "x")
    assert read.as_json() == some.experiment.as_json()
