"""Comparisons of models over trainings: the test, its correction, and the table."""

import math

import made_up
import numpy as np
import pytest
from scipy.stats import ttest_ind

from fpa.reporting.tables.comparisons import difference, holm, pairwise_frame
from fpa.reporting.tables.rendering import to_latex, to_markdown
from fpa.reporting.tables.scores import tidy_scores

LABELS = {"fpa": "FPA", "gan": "GAN", "other": "Other"}


def entry(model: str, seed: int, **values: float) -> dict:
    return made_up.entry(model, seed, values)


def entries(seeds: int = 5, **gaps: float) -> list[dict]:
    """A model `fpa` around FID 50 and recall 0.5, and others so far from it, deviation 1 and 0.01."""
    draw = np.random.default_rng(0).normal
    return [
        entry(model, seed, fid=50 + gap + draw(), recall=0.5 + (gap + draw()) / 100)
        for model, gap in {"fpa": 0.0, **gaps}.items()
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(("n", "m"), [(5, 5), (3, 7)])
def test_welchs_test_is_scipys(n, m):
    draw = np.random.default_rng(0).normal
    a, b = draw(0, 1, n), draw(1, 3, m)
    found, expected = difference(a, b), ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(a.mean() - b.mean())


def test_holms_correction_by_hand():
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm([0.9, math.nan, 0.02])
    assert corrected[0] == pytest.approx(0.9)
    assert math.isnan(corrected[1])
    assert corrected[2] == pytest.approx(0.04)


def test_models_that_are_alike_are_told_apart_in_one_experiment_of_twenty():
    """Five models with five trainings of one distribution: ten pairs, any of which would be false."""
    draw, wrong, trials = np.random.default_rng(0).normal, 0, 400
    for _ in range(trials):
        values = draw(size=(5, 5))
        pairs = [(a, b) for a in range(5) for b in range(a)]
        wrong += min(holm([difference(values[a], values[b]).p for a, b in pairs])) < 0.05
    # 20 expected at most; 34 is three standard deviations above.
    assert wrong <= 34


def test_the_table_says_which_model_is_better_and_where_no_difference_is_shown():
    frame, shown, caption, _ = made_up.table(
        "comparisons", entries(gan=20, other=0.1), labels=LABELS
    )
    assert list(zip(frame["metric"], frame["better"], strict=True)) == [
        *(("fid", "fpa"), ("fid", ""), ("fid", "other")),
        # More recall is better.
        *(("recall", "gan"), ("recall", ""), ("recall", "gan")),
    ]
    assert shown.index.tolist() == ["FPA", "FPA", "GAN"]
    assert shown["B"].tolist() == ["GAN", "Other", "Other"]
    assert shown["verdict"].tolist() == [
        *("FPA is better", "no difference shown", "Other is better")
    ]
    assert shown["metric"].unique().tolist() == ["Fréchet distance"]
    row = frame.iloc[0]
    values = {
        m: [e["metrics"]["fid"]["value"] for e in entries(gan=20, other=0.1) if e["model"] == m]
        for m in LABELS
    }
    assert row["difference"] == pytest.approx(np.mean(values["fpa"]) - np.mean(values["gan"]))
    assert row["low"] < row["difference"] < row["high"] < 0
    assert row["p_holm"] >= row["p"]
    assert (row["n_a"], row["n_b"]) == (5, 5)
    assert "5 trainings (seeds) of each; p by Welch's t-test" in caption
    assert "corrected for the 3 pairs" in caption
    for text in (to_markdown(shown, caption), to_latex(shown, caption)):
        assert "FPA is better" in text


@pytest.mark.parametrize(("seeds", "words"), [(1, "one training"), (2, "2 trainings")])
def test_few_trainings_tell_no_difference(seeds, words):
    frame, shown, caption, _ = made_up.table("comparisons", entries(seeds, gan=90), labels=LABELS)
    assert frame.empty
    assert shown["verdict"].tolist() == ["too few trainings"]
    assert f"from {words}, a difference between models cannot be told from the spread" in caption
    for text in (to_markdown(shown, caption), to_latex(shown, caption)):
        assert "too few trainings" in text


def test_runs_that_failed_are_left_out_and_counted():
    made = entries(gan=20, other=40)
    for one in made:
        if (one["model"] == "gan" and one["seed"] > 1) or (
            one["model"] == "fpa" and one["seed"] == 0
        ):
            one |= {"status": "nan", "metrics": {}}
    frame, shown, caption, _ = made_up.table("comparisons", made, labels=LABELS)
    fid = frame[frame["metric"] == "fid"]
    assert fid["verdict"].tolist() == [*("too few trainings", "fpa is better", "too few trainings")]
    assert fid[["n_a", "n_b"]].to_numpy().tolist() == [[4, 2], [4, 5], [2, 5]]
    assert np.isnan(fid["p"].iloc[0])
    assert shown["p"].tolist()[0] == "—"
    assert "2 to 5 trainings" in caption


def test_each_data_set_is_corrected_by_itself_and_named():
    made = [*entries(gan=20), *({**one, "dataset": "cats"} for one in entries(gan=20))]
    frame, shown, *_ = made_up.table("comparisons", made, labels=LABELS)
    assert (frame["p"] == frame["p_holm"]).all()
    assert shown["data set"].tolist() == ["digits", "cats"]


def test_trainings_without_any_spread_are_not_compared():
    made = [entry(model, seed, fid=fid) for model, fid in (("a", 1), ("b", 2)) for seed in range(3)]
    frame = pairwise_frame(tidy_scores(made_up.results_of(made)))
    assert frame["verdict"].tolist() == ["no difference shown"]
    assert np.isnan(frame["p"]).all()
