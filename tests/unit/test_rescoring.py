"""A published model's scores are made again, and differences beyond rounding are named."""

import json
import math
import shlex
import shutil

import pytest
import torch
from conftest import finished, fpa_ok, score_by_hand

from fpa.core.errors import UserError
from fpa.evaluation.distances import Estimate
from fpa.evaluation.rescoring import differences, rescore
from fpa.evaluation.scores import Score
from fpa.experiment.plan import Plan
from fpa.runs.generators import export


@pytest.fixture
def scored(small, tmp_path):
    """An export, its score file's contents, and the data folder."""
    (run,) = Plan(small).runs
    data, folder = tmp_path / "data", tmp_path / "run"
    folder.mkdir()
    store = data / run.store
    words = ("resolution=16", "channels=1", "filter=bicubic", "--no-config", "--out", store)
    fpa_ok("prepare", "digits", *words, cwd=tmp_path)
    manifest = json.loads((store / "manifest.json").read_text())
    training = finished(run, folder, manifest["images_sha256"])
    export(training.model, run, "last", tmp_path / "export")
    score_by_hand(
        *(tmp_path, folder, store, folder / "score.json"),
        *("--kid-subsets", 5, "--kid-subset-size", 20),
        metrics=("fid", "kid", "precision", "recall"),
    )
    # So that they are made again too.
    (store / "features.thumbnails-16px.clean.array.npy").unlink()
    return tmp_path / "export", Score.read(folder / "score.json"), data


def test_a_score_made_again_is_the_same_and_one_of_something_else_is_refused(scored, tmp_path):
    model, score, data = scored
    (tmp_path / "scratch").mkdir()

    def again(**changes):
        changed = score.model_copy(update=changes)
        return rescore(model, changed, 32, data, tmp_path / "scratch", torch.device("cpu"))

    same, found = again()
    assert same
    assert found.keys() == {"fid", "kid", "precision", "recall"}
    assert differences(score.metrics, found) == []
    for name, value in found.items():
        assert value.value == pytest.approx(score.metrics[name].value, rel=1e-9)
    for changes, message in (
        ({"run": "0" * 64}, "but its score file is of 0000000000"),
        ({"real_sha256": "ab" * 32}, "holds other images"),
        ({"settings": {"strange": 1}}, "not one of this version"),
    ):
        with pytest.raises(UserError, match=message):
            again(**changes)
    (store,) = (path.parent for path in data.glob("*/manifest.json"))
    # What the message says to run makes what is missing.
    shutil.rmtree(store)
    with pytest.raises(UserError) as error:
        again()
    command = str(error.value).split("`")[1]
    fpa_ok(*shlex.split(command.removeprefix("python -m fpa ")), cwd=tmp_path)
    assert again()[0]
    path = store / "features.thumbnails-16px.clean.array.npy"
    words = ("--extractor", data / "extractors/thumbnails-16px.json", "--count", 8)
    space = ("--space", "thumbnails-16px.clean.array")
    fpa_ok("features", store, *words, *space, "--out", path, cwd=tmp_path)
    with pytest.raises(UserError, match="has features of other images"):
        again()


def test_differences_beyond_rounding_are_named():
    score = {
        "fid": Estimate(50.0, 1.0),
        "kid": Estimate(0.0, 0.01),
        "precision": Estimate(0.7, math.nan),
    }

    def found(fid=50.0, kid=0.0, precision=0.7):
        values = {"fid": fid, "kid": kid, "precision": precision}
        return {name: Estimate(value, math.nan) for name, value in values.items()}

    assert differences(score, found(50.14, 0.0009, 0.7015)) == []
    (one,) = differences(score, found(fid=50.16))
    assert one == "fid is 50.16, published 50 (allowed: 0.15)"
    assert len(differences(score, found(kid=0.0011, precision=0.703))) == 2
    assert differences(score, {}) == ["its features are not finite"]
    assert differences({}, found()) != []
    # Not a number is not near to anything.
    assert len(differences(score, found(fid=float("nan")))) == 1
