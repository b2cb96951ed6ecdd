"""Overfitting and faults are noticed: the test for copies against simulation, the table's words."""

import itertools
import math
from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import fpa, fpa_ok
from test_golden import MODELS, built

from fpa.core.files import read_json, write_json
from fpa.evaluation.memorisation import LEVEL, memorisation, p_of_count
from fpa.models.loading import blind_loss
from fpa.reporting.make import make_report
from fpa.reporting.results import Results
from fpa.reporting.tables import table_names
from fpa.reporting.tables.health import (
    BROKEN,
    COPIES,
    DECLINED,
    LOST,
    RELOADED,
    SEES_NOTHING,
    UNBALANCED,
    health_frame,
    health_table,
    notes,
)


def test_the_p_value_is_that_of_counting_all_orders():
    """Every order of 4 samples and 3 held-out images is as likely: count them."""
    n, m = 4, 3
    orders = list(itertools.combinations(range(n + m), m))
    for rank in (1, 2, 3):
        below = [places[rank - 1] - (rank - 1) for places in orders]
        for count in range(n + 1):
            expected = sum(k >= count for k in below) / len(orders)
            assert p_of_count(count, rank, n, m) == pytest.approx(expected, abs=1e-12)


def test_fresh_draws_are_called_copies_no_more_often_than_the_p_value_says():
    """300 times 200 fresh draws against 300 held-out ones, of a skewed distribution."""
    random = np.random.default_rng(0)
    p = [memorisation(random.gamma(3, size=200), random.gamma(3, size=300)).p for _ in range(300)]
    for level in (0.05, 0.2):
        # Three standard deviations of a share of 300 above the level.
        assert np.mean(np.array(p) < level) < level + 3 * math.sqrt(level * (1 - level) / 300)
    assert np.mean(p) > 0.4


@pytest.mark.parametrize("copied", [0.02, 0.2])
def test_a_model_that_copies_some_images_is_found(copied):
    random = np.random.default_rng(1)
    held_out = 5 + random.gamma(3, size=1500)
    # What is no copy is worse than real images, as samples are.
    distance = 6 + random.gamma(3, size=2000)
    few = int(copied * len(distance))
    assert memorisation(distance, held_out).p > LEVEL
    distance[:few] = random.uniform(0, 1, few)
    found = memorisation(distance, held_out)
    assert found.copies
    assert found.closest == few
    assert found.low < found.share
    assert found.expected == pytest.approx(0.01)


def test_the_lower_end_of_the_share_is_clopper_and_pearsons():
    """At the lower end, as large a count as was found has a chance of 5%."""
    from scipy.stats import binom

    distance = np.concatenate([np.full(30, 0.1), np.linspace(2, 3, 170)])
    found = memorisation(distance, np.linspace(1, 3, 500))
    assert found.share == 30 / 200
    assert binom.sf(29, 200, found.low) == pytest.approx(0.05, abs=1e-6)
    none = memorisation(np.linspace(4, 5, 200), np.linspace(1, 3, 500))
    assert (none.share, none.low, none.p) == (0, 0, 1)


def test_nothing_is_said_where_nothing_can_be_found():
    fine = np.linspace(1, 2, 200)
    assert memorisation(fine[:99], fine) is None
    assert memorisation(fine, fine[:99]) is None
    # Of real images that come twice a copy is nothing new.
    assert memorisation(fine, np.concatenate([np.zeros(5), fine])) is None
    broken = np.concatenate([fine, [np.nan, np.inf]])
    assert memorisation(broken, fine).n_samples == 200


def run(model="m", seed=0, recall=0.5, history=None, neighbours=None, not_finite=0, **summary):
    metrics = {} if recall is None else {"recall": recall}
    found = {"history": history, "neighbours": neighbours, "summary": summary}
    return made_up.run_results(model, seed, {"quick": metrics}, not_finite=not_finite, **found)


def losses(values, fid=None):
    n = len(values)
    return pd.DataFrame({"kimg": np.arange(n) + 1.0, "d_loss": values, "fid": fid or [1.0] * n})


def noticed(**what):
    return health_frame([run(**what)], "x")["noticed"].item()


def test_each_fault_is_noticed_and_nothing_else():
    assert noticed() == ""
    assert noticed(recall=None) == ""
    assert noticed(recall=0.04) == LOST
    assert noticed(history=losses([2.0] * 8)) == ""
    # The last quarter is the rows at 6, 7 and 8 kimg.
    assert noticed(history=losses([2.0] * 5 + [0.19] * 3)) == UNBALANCED
    assert noticed(history=losses([2.0] * 5 + [0.21] * 3)) == ""
    # An FPA's discriminator that cannot tell has a loss of 4.
    assert noticed(history=losses([3.0] * 5 + [3.79] * 3)) == ""
    assert noticed(history=losses([3.0] * 5 + [3.81] * 3)) == SEES_NOTHING
    assert noticed(history=losses([2.0] * 4, [9, 4, math.nan, 7])) == DECLINED
    assert noticed(history=losses([2.0] * 4, [9, 5, math.nan, 7])) == ""
    assert noticed(nan_reloads=2) == RELOADED
    assert noticed(not_finite=1) == BROKEN
    far = np.linspace(1, 2, 200)
    assert noticed(neighbours={"distance": far, "real_distance": far}) == ""
    near = np.concatenate([np.zeros(20), far])
    assert noticed(neighbours={"distance": near, "real_distance": far}) == COPIES
    assert noticed(recall=0.0, nan_reloads=1) == f"{LOST}; {RELOADED}"


@pytest.mark.parametrize("name", list(MODELS))
def test_the_loss_of_a_blind_discriminator_is_the_models_own(name):
    model = built(name)
    with torch.no_grad():
        for parameter in model.networks["discriminator"].parameters():
            parameter.zero_()
    loss = model.step(torch.rand(4, 1, 16, 16))["d_loss"].item()
    about = MODELS[name]
    assert blind_loss(about["class"], about["settings"]) == pytest.approx(loss, abs=1e-6)


def test_nobody_knows_the_loss_of_a_blind_discriminator_of_somebody_elses_model():
    assert math.isnan(blind_loss("theirs.module:Model", {}))


def test_the_table_shows_the_worst_training_and_says_in_how_many():
    runs = [
        run("a", 0, 0.01, losses([2.0] * 4), nan_reloads=0),
        run("a", 1, 0.40, losses([2.0, 1.0, 1.0, 1.0]), nan_reloads=3),
        run("b", 0, 0.30),
        replace(run("c"), summary=None),
    ]
    results = Results("x", {"a": "A"}, runs=runs)
    frame, shown, caption, _ = health_table(results)
    assert frame["model"].tolist() == ["a", "a", "b"]
    assert shown.loc["A"].tolist() == [
        *("—", "0.010", "50%", "50%", "1.00", "3"),
        f"{LOST} (1 of 2), {RELOADED} (1 of 2)",
    ]
    assert shown.loc["b"].tolist() == ["—", "0.300", "—", "—", "—", "—", "nothing"]
    assert "tested in 0 of 3 trainings" in caption
    assert "where a training was too early to count them" in caption
    assert notes(frame, results) == [
        f"A on digits: {LOST} (in 1 of 2 trainings) and {RELOADED} (in 1 of 2 trainings). See the "
        "table health."
    ]


def test_without_a_finished_training_the_table_says_so():
    results = Results(runs=[replace(run(), summary=None)])
    frame, shown, *_ = health_table(results)
    assert shown.loc["every model", "noticed"] == "no finished training"
    assert notes(frame, results) == []


def test_tables_and_page_of_an_experiment_say_what_was_noticed(tmp_path):
    about, _, results = made_up.fill(tmp_path, made_up.experiment(models=("fpa", "dcgan")))
    for run, recall in zip(about.runs, (0.5, 0.01), strict=True):
        path = results / run.folder / about.protocols[0].score_file
        score = read_json(path)
        score["metrics"]["recall"]["value"] = recall
        write_json(path, score)
    for kind in table_names(about, "runs"):
        out = tmp_path / f"{kind}.csv"
        done = fpa_ok("table", kind, "--results", results, "--out", out, cwd=tmp_path)
        assert out.with_suffix(".md").read_text() in done.stdout
    table = pd.read_csv(tmp_path / "health.csv", keep_default_na=False)
    assert table["noticed"].tolist() == ["", LOST]
    page = make_report(results, as_is=True).read_text()
    assert f"DCGAN on digits: {LOST}. See the table health." in page
    without = fpa("table", "health", "--out", "x.csv", cwd=tmp_path)
    assert "name the experiment's folder by --results" in without.stderr
