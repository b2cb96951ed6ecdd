"""Comparisons of models over trainings: the test, its correction and table; claims, how they are judged, and what is wrong
with a file of them."""

import math

import made_up
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from scipy.stats import ttest_ind, ttest_rel

from fpa.core.errors import UserError
from fpa.experiment.experiment import Claim, Experiment, about_models, read_claims
from fpa.experiment.plan import Plan
from fpa.reporting.make import make_report
from fpa.reporting.tables.comparisons import claims_frame, difference, holm, pairwise_frame
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


PAPERS = ROOT / "experiments/claims.yaml"
SEEDS = np.arange(5)
WAVE = np.array([-2.0, 1.0, 0.0, 2.0, -1.0])


def claim(better: str = "a", than: str = "b", **more) -> Claim:
    return Claim(
        name="one",
        says="A is better",
        source="here",
        better=better.split(),
        than=than.split(),
        **more,
    )


def judged(stated: Claim, metric: str = "fid", **scores) -> pd.Series:
    """The row of a claim, of scores by model, one for each seed."""
    entries = [
        entry(model, seed, **{metric: float(value)})
        for model, values in scores.items()
        for seed, value in enumerate(values)
    ]
    frame = claims_frame(tidy_scores(made_up.results_of(entries)), [stated])
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (50 + WAVE, 60 + WAVE, "supported"),
        (60 + WAVE, 50 + WAVE, "not supported"),
        (50 + WAVE, 51 + WAVE, "undecided"),
        (50 + WAVE[:2], 60 + WAVE, "undecided"),  # two trainings decide nothing
        ([50], [60], "undecided"),
        ([], 60 + WAVE, "undecided"),
        ([50, math.nan, 51, math.nan, math.nan], 60 + WAVE, "undecided"),
        (50 + 0 * WAVE, 60 + 0 * WAVE, "undecided"),  # no spread: nothing is known of it
    ],
)
def test_a_verdict_follows_from_the_interval(a, b, verdict):
    row = judged(claim(), a=a, b=b)
    assert row["verdict"] == verdict


def test_an_advantage_is_positive_where_the_claim_holds_whatever_the_metrics_direction():
    low = judged(claim(), a=50 + WAVE, b=60 + WAVE)
    high = judged(claim(metric="recall"), "recall", a=0.6 + WAVE / 100, b=0.5 + WAVE / 100)
    assert (low["verdict"], high["verdict"]) == ("supported", "supported")
    assert low["advantage"] == pytest.approx(10)
    assert low["relative"] == pytest.approx(10 / 60)
    assert high["advantage"] == pytest.approx(0.1)


def test_paired_trainings_are_compared_seed_by_seed():
    wide = 10 * WAVE
    a, b = 50 + wide, 52 + wide + [0.1, -0.1, 0.2, 0, 0.1]
    assert judged(claim(), a=a, b=b)["verdict"] == "undecided"
    row = judged(claim(paired=True), a=a, b=b)
    assert row["verdict"] == "supported"
    expected = ttest_rel(b, a).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert difference(b, a, paired=True).p == pytest.approx(ttest_rel(b, a).pvalue)
    # A seed that one of them lacks counts for neither.
    short = judged(claim(paired=True), a=a[:3], b=b)
    assert (short["n_better"], short["n_than"]) == (3, 3)
    assert short["mean_than"] == pytest.approx(b[:3].mean())


def test_a_claim_about_several_models_is_as_strong_as_its_weakest_pair():
    stated = claim("a b", "c")
    row = judged(stated, a=30 + WAVE, b=45 + WAVE, c=60 + WAVE)
    assert (row["verdict"], row["better"]) == ("supported", "b")
    row = judged(stated, a=30 + WAVE, b=59.5 + WAVE, c=60 + WAVE)
    assert (row["verdict"], row["better"]) == ("undecided", "b")
    row = judged(stated, a=90 + WAVE, b=59.5 + WAVE, c=60 + WAVE)
    assert (row["verdict"], row["better"]) == ("not supported", "a")


@pytest.mark.parametrize(
    ("a", "verdict"), [(51, "supported"), (70, "not supported"), (56, "undecided")]
)
def test_models_are_alike_within_a_margin(a, verdict):
    assert judged(claim(alike=0.1), a=a + WAVE, b=50 + WAVE)["verdict"] == verdict


def test_the_papers_claims_are_judged_where_their_models_are():
    stated = read_claims(PAPERS)
    assert len(stated) > 8
    found = about_models(stated, ["fpa", "fpa_unet", "dcgan"])
    assert [claim.name for claim in found] == ["unet_lowers_fid"]
    for name in ("config.yaml", "experiments/paper.yaml"):
        config = yaml.safe_load((ROOT / name).read_text())
        assert config["claims"] == "experiments/claims.yaml"


GOOD = {"name": "one", "says": "A", "source": "s", "better": ["a"], "than": ["b"]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: 1", "holds no claims"),
        ("- [", "is not valid YAML"),
        ("- 3", "claim 1: "),
        ([GOOD, GOOD], "two claims called one"),
        ([{**GOOD, "better": []}], "claim one: better"),
        ([{**GOOD, "than": ["a"]}], "no model can be better than itself"),
        ([{**GOOD, "metric": "fit"}], "did you mean 'fid'"),
        ([{**GOOD, "alike": 2}], "claim one: alike"),
        ([{**GOOD, "worse": ["c"]}], "claim one: worse"),
        ([{k: v for k, v in GOOD.items() if k != "says"}], "claim one: missing says"),
    ],
)
def test_a_wrong_file_is_refused_when_planning(tmp_path, tiny, content, complaint):
    path = tmp_path / "claims.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(UserError, match=complaint) as error:
        Plan({**tiny, "claims": str(path)})
    assert "\n" not in str(error.value)


def test_a_file_is_found_from_another_working_directory(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Plan({**tiny, "claims": "experiments/claims.yaml"}).claims


def test_a_file_that_is_not_there_is_named(tmp_path, tiny):
    with pytest.raises(UserError, match=r"cannot read the claims .*none\.yaml"):
        Plan({**tiny, "claims": str(tmp_path / "none.yaml")})


def test_an_experiment_without_claims_is_described_as_before(tiny):
    assert "claims" not in Plan(tiny).experiment.as_json()
    described = Plan({**tiny, "claims": str(PAPERS)}).experiment.as_json()
    assert "unet_lowers_fid" in [claim["name"] for claim in described["claims"]]
    assert "claims" not in described["config"]


def test_the_table_says_claim_effect_interval_and_verdict():
    entries = [
        entry(model, seed, fid=mean + WAVE[seed])
        for model, mean in {"fpa": 80, "fpa_unet": 50}.items()
        for seed in SEEDS
    ]
    stated = about_models(read_claims(PAPERS), ["fpa", "fpa_unet"])
    published = pd.DataFrame(
        [["digits", "fpa", "fid", 81.5, "quick", "paper"]],
        columns=["dataset", "model", "metric", "value", "protocol", "source"],
    )
    labels = {"fpa": "FPA", "fpa_unet": "FPA + U-Net"}
    more = {"labels": labels, "published": published, "claims": stated}
    _, shown, caption, _ = made_up.table("claims", entries, **more)
    (row,) = shown.reset_index().to_dict("records")
    assert row == {
        "Claim": "A U-Net lowers the FID of an FPA",
        "verdict": "undecided",
        "claimed better": "FPA + U-Net: 50.00",
        "than": "FPA: 80.00 (81.50)",
        "advantage": "+30.00",
        "95% interval": "—",  # paired, and every difference the same
        "trainings": "5",
    }
    assert "0 supported, 0 not supported, 1 undecided" in caption
    assert "published value" in caption
    assert "by Fréchet distance" in caption


def test_the_page_and_its_tables_have_the_claims_first(tmp_path):
    config = made_up.experiment(seeds=(0, 1, 2), claims=str(PAPERS))
    _, _, results = made_up.fill(tmp_path, config)
    assert (results / "tables/claims.md").exists()
    page = make_report(results, tmp_path / "page.html", as_is=True).read_text()
    claim, scores = (
        page.index(text) for text in ("A U-Net lowers the FID of an FPA", 'id="tables"')
    )
    assert claim < scores


def test_claims_in_a_results_folder_are_checked_like_any_other(tiny):
    described = {**Plan(tiny).experiment.as_json(), "claims": [{**GOOD, "than": []}]}
    with pytest.raises(UserError, match=r"experiment\.json\.claims\.0\.than: expected at least 1"):
        Experiment.parse(described, "experiment.json")
