"""How far scores agree, which checkpoint each would have chosen, and images and hours to a target distance."""

import math
from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from fpa.experiment.experiment import Experiment
from fpa.reporting.figures.scores import correlation_panels
from fpa.reporting.figures.theme import use_theme
from fpa.reporting.figures.training import targets
from fpa.reporting.make import make_figure
from fpa.reporting.results import Results, RunResults, read_runs
from fpa.reporting.tables.costs import target_of, targets_frame, targets_table
from fpa.reporting.tables.quick_scores import (
    CHECKPOINTS,
    FINAL,
    WITHIN,
    agreement_frame,
    agreement_table,
    choices_frame,
    choices_table,
    rank_correlations,
)


@pytest.mark.parametrize("levels", [3, 1000])
def test_rank_correlations_are_those_of_the_definitions(levels):
    random = np.random.default_rng(levels)
    for _ in range(20):
        a, b = random.integers(0, levels, (2, 9)).tolist()
        assert rank_correlations(a, b) == pytest.approx(
            (spearmanr(a, b).statistic, kendalltau(a, b).statistic), abs=1e-12
        )


def test_rank_correlations_need_five_numbers_that_differ():
    assert all(map(math.isnan, rank_correlations([1, 2, 3, 4], [1, 2, 3, 4])))
    assert all(map(math.isnan, rank_correlations([1] * 6, [1, 2, 3, 4, 5, 6])))
    assert rank_correlations([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]) == pytest.approx((-1, -1))


def run(model, seed, scores, history=None, best=None, dataset="digits"):
    """What a run left, by the values of its scores."""
    summary = {"best": {"kimg": 0, "fid": best} if best else None}
    return made_up.run_results(
        model, seed, scores, dataset=dataset, history=history, summary=summary
    )


def history(fid, precision=None, recall=None):
    """Of a training with a quick score at each kimg, and rows of losses in between."""
    n = len(fid)
    columns = {
        "kimg": np.arange(n),
        "fid": fid,
        "precision": precision or np.linspace(0, 1, n),
        "recall": recall or np.linspace(0, 1, n),
    }
    losses = pd.DataFrame({"kimg": np.arange(n) + 0.5, "d_loss": 1.0})
    return pd.concat([pd.DataFrame(columns), losses]).sort_values("kimg")


def numbers(frame, scope, a, b):
    rows = frame[(frame["scope"] == scope) & (frame["score_a"] == a) & (frame["score_b"] == b)]
    (row,) = rows.to_dict("records")
    return row["n"], row["spearman"], row["kendall"]


def test_scores_of_opposite_directions_agree_where_both_say_better():
    runs = [
        run("m", i, {"quick": {"fid": 10 + i, "recall": 1 - i / 10, "precision": i / 10}}, best=i)
        for i in range(1, 7)
    ]
    frame = agreement_frame(runs, "x")
    # Lower distances come with higher recall and lower precision.
    # A correlation is a quotient of rounded roots.
    assert numbers(frame, FINAL, "fid", "recall") == pytest.approx((6, 1, 1))
    assert numbers(frame, FINAL, "fid", "precision") == pytest.approx((6, -1, -1))
    assert numbers(frame, FINAL, "fid", "quick") == pytest.approx((6, 1, 1))
    shown = agreement_table(Results("x", runs=runs)).shown
    assert shown["and"].tolist()[:3] == ["precision", "recall", "best quick score"]
    assert shown["Spearman"].tolist()[:3] == ["-1.00", "+1.00", "+1.00"]


def test_the_same_metric_by_two_protocols_is_two_scores():
    runs = [
        run("m", i, {"paper": {"fid": i * i}, "quick": {"fid": -i if i > 4 else i}})
        for i in range(1, 7)
    ]
    runs.append(run("m", 7, {"paper": {"fid": 3.0}}))
    frame = agreement_frame(runs, "x")
    n, spearman, _ = numbers(frame, FINAL, "fid:paper", "fid:quick")
    # The run without a quick score has no pair.
    assert n == 6
    ranks = [1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 2, 1]
    assert spearman == pytest.approx(spearmanr(*ranks).statistic)
    assert "Fréchet distance (paper)" in agreement_table(Results("x", runs=runs)).shown.index


def test_checkpoints_are_ranked_together_and_within_each_training():
    """Two trainings of another quality each: alike within, not together."""
    good = run("a", 0, {}, history([15, 14, 13, 12, 11], recall=[0.1, 0.2, 0.3, 0.4, 0.5]))
    bad = run("b", 0, {}, history([25, 24, 23, 22, 21], recall=[0.6, 0.7, 0.8, 0.9, 1.0]))
    frame = agreement_frame([good, bad], "x")
    assert numbers(frame, WITHIN, "fid", "recall") == (2, pytest.approx(1), pytest.approx(1))
    n, spearman, kendall = numbers(frame, CHECKPOINTS, "fid", "recall")
    fid = [-15, -14, -13, -12, -11, -25, -24, -23, -22, -21]
    recall = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert n == 10
    assert (spearman, kendall) == pytest.approx(
        (spearmanr(fid, recall).statistic, kendalltau(fid, recall).statistic)
    )
    assert kendall < 0


def test_too_few_runs_are_said_and_not_ranked():
    runs = [run("m", i, {"quick": {"fid": i, "kid": i}}, history([3, 2])) for i in range(4)]
    frame = agreement_frame(runs, "x")
    n, spearman, _ = numbers(frame, FINAL, "fid", "kid")
    assert n == 4
    assert math.isnan(spearman)
    made = agreement_table(Results("x", runs=runs))
    assert "— where there are fewer than 5 to rank" in made.caption
    assert made.shown["Spearman"].iloc[0] == "—"
    use_theme()
    figure = correlation_panels(frame)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    # 4 runs of 2 checkpoints are 8 together, and none has 5 of its own.
    assert texts[0] == "too few to rank:\n4 found, 5 needed"
    assert texts[-1] == "too few to rank:\n0 found, 5 needed"


def test_without_scores_and_histories_the_tables_say_so():
    made = agreement_table(Results(runs=[run("m", 0, {})]))
    assert made.frame["n"].tolist() == [0] * len(made.frame)
    assert made.shown["n"].unique().tolist() == ["0"]
    made = choices_table(Results(runs=[run("m", 0, {}, history([1, 2]).drop(columns="recall"))]))
    assert made.frame.empty
    assert "no run has a history" in made.caption
    assert made.shown.loc["every model", "chosen by"] == "no quick scores"


def test_each_score_chooses_its_own_checkpoint():
    nan = math.nan
    one = history([9, 5, 7, nan, 6], [0.1, 0.2, 0.9, 1.0, 0.9], [0.5, 0.1, 0.2, 1.0, 0.3])
    frame = choices_frame([run("a", 0, {}, one)], "x").set_index("score")
    # A checkpoint whose distance is NaN is none; of equal ones the first is kept.
    assert frame["kimg"].to_dict() == {"fid": 1, "precision": 2, "recall": 0}
    assert frame["fid"].to_dict() == {"fid": 5, "precision": 7, "recall": 9}
    assert frame["same"].tolist() == [True, False, False]
    assert set(frame["n_checkpoints"]) == {4}
    two = history([9, 5, 4], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    both = [run("a", 0, {}, one), run("a", 1, {}, two)]
    shown = choices_table(Results(runs=both, labels={"a": "A"})).shown
    assert shown.index.tolist() == ["A"] * 3
    assert shown["same as by Fréchet distance"].tolist() == ["2 of 2", "1 of 2", "1 of 2"]
    assert shown["Fréchet distance"].tolist() == ["4.50", "5.50", "6.50"]


KIMG = [0, 10, 20, 30]


def entry(model: str, seed: int, *distances: float, base: str | None = None) -> RunResults:
    history = pd.DataFrame({"kimg": [5, *KIMG], "fid": [math.nan, *distances]})
    cost = {"training_images_per_second": 10, "hardware": {"cpu": "A", "threads": 1}}
    return made_up.run_results(model, seed, {}, history=history, cost=cost, base=base)


ENTRIES = [
    entry("fpa", 0, 90, 80, 50, 55),
    entry("fpa", 1, 90, 60, 60, 65),
    entry("unet", 0, 95, 58, 70, 40, base="fpa"),
]


def test_the_target_is_what_every_model_reaches_in_its_mean():
    # fpa's mean is 90, 70, 55, 60; the U-Net's lowest is 40.
    assert target_of([(e.run.model, e.history) for e in ENTRIES]) == 55


@pytest.mark.parametrize(
    ("target", "kimg"),
    [(None, [20, math.nan, 30]), (60, [20, 10, 10]), (30, [math.nan] * 3), (1000, [0, 0, 0])],
)
def test_the_first_quick_score_not_above_the_target_counts(target, kimg):
    frame = targets_frame(ENTRIES, "test", target)
    assert frame["kimg"].tolist() == pytest.approx(kimg, nan_ok=True)


def test_hours_are_of_the_measured_speed_and_a_refiners_include_its_painters():
    frame = targets_frame(ENTRIES, "test", 60)
    hours = [20_000 / 10 / 3600, 10_000 / 10 / 3600, (10_000 + 30_000) / 10 / 3600]
    assert frame["hours"].tolist() == pytest.approx(hours)
    unknown = targets_frame([replace(ENTRIES[0], cost=None)], "test", 60)
    assert unknown["hours"].isna().all()
    assert unknown["kimg"].tolist() == [20]


def test_the_table_counts_who_got_there():
    labels = {"fpa": "FPA", "unet": "FPA + U-Net"}
    _, shown, caption, _ = targets_table(Results("test", labels, target=50, runs=ENTRIES))
    assert shown.loc["FPA"].to_dict() == {
        "target": "50.0",
        "thousand images": "20",
        "hours": "0.556",
        "images/s": "10",
        "reached": "1 of 2",
    }
    assert "include the whole training of its painter" in caption
    shown = targets_table(Results("test", target=45, runs=ENTRIES)).shown
    assert shown.loc["fpa", "thousand images"] == "more than 30"


def test_table_and_figure_are_made_of_a_results_folder(tmp_path):
    about, figures, results = made_up.fill(tmp_path, made_up.experiment(seeds=(0, 1, 2)))
    assert Experiment.read(results) == about
    assert len(read_runs(about, results)) == 9
    assert "targets" in figures
    make_figure(results, "targets")
    assert (results / "figures/targets.png").stat().st_size > 10_000


def test_without_any_quick_score_the_table_is_empty_and_the_figure_says_so():
    runs = [replace(ENTRIES[0], history=None)]
    frame, shown, _, _ = targets_table(Results("test", runs=runs))
    assert frame.empty
    assert shown.empty
    texts = [text.get_text() for ax in targets(frame, {}).axes for text in ax.texts]
    assert texts == ["no run was scored while it trained (training.watch_kimg)"]
