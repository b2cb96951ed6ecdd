"""Tables from made-up scores."""

import numpy as np
import pytest

from fpa.common.errors import UserError
from fpa.reporting import tables


def score(model: str, seed: int, fid: float, dataset: str = "digits", **more) -> dict:
    return {
        "dataset": dataset,
        "resolution": 16,
        "model": model,
        "seed": seed,
        "run": f"{model}{seed}" + "0" * 60,
        "status": "ok",
        "metrics": {
            "fid": {"value": fid, "error": 0.5},
            "fid_infinity": {"value": fid - 1, "error": 0.25},
            "kid": {"value": fid / 1000, "error": None},
        },
        "extractor": "efficientnet_lite0-96px",
        "resize": "clean",
        "format": "array",
        "weights_sha256": "",
        "real_sha256": "",
        "protocol": "quick",
        "n_real": 1797,
        "n_fake": 2000,
        "kimg": 100.0,
        "checkpoint": "best",
        "checkpoint_kimg": 90.0,
        "generator_parameters": 12345,
        **more,
    }


FAILED = {"status": "nan", "metrics": {}}


@pytest.fixture
def entries():
    return [
        *(score("fpa", 0, 10), score("fpa", 1, 14), score("light_gan", 0, 7)),
        score("fpa", 0, 99, dataset="cats"),
    ]


@pytest.fixture
def frame(entries):
    return tables.metric_frame(entries, "fid", "digits")


def test_seeds_become_mean_and_standard_deviation(frame, entries):
    row = frame.iloc[0]
    assert (row["fid"], row["n_seeds"], row["kimg"]) == (12, 2, 100)
    assert row["fid_std"] == pytest.approx(8**0.5)
    assert (row["fid_error"], row["fid_infinity"], row["fid_infinity_error"]) == (0.5, 11, 0.25)
    assert row["runs"] == "fpa0000000 fpa1000000"
    assert np.isnan(frame.iloc[1]["fid_std"])
    assert tables.metric_frame(entries, "kid", "digits").iloc[0]["kid"] == pytest.approx(0.012)


def test_columns_are_those_that_are_promised(frame):
    assert (
        list(frame.columns)
        == (
            "dataset resolution protocol model fid fid_std fid_error fid_infinity "
            "fid_infinity_std fid_infinity_error n_seeds n_failed status published source extractor "
            "resize format n_real n_fake checkpoint kimg generator_parameters experiment runs"
        ).split()
    )


def cells_of(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines]


def test_markdown_has_models_down_and_data_sets_across(frame):
    shown = tables.paper_layout(frame, "fid", {"fpa": "FPA", "light_gan": "LightGAN"})
    cells = cells_of(tables.to_markdown(shown, tables.metric_caption(frame, "fid")))
    assert cells[0] == ["Model", "digits 16 px", "cats 16 px"]
    assert cells[2] == ["FPA", "12.00 ± 2.83", "99.00 ± 0.50"]
    assert cells[3] == ["LightGAN", "7.00 ± 0.50", "—"]


def test_failed_runs_are_shown_as_such(entries):
    entries += [score("fpa", 2, 0, **FAILED), score("dcgan", 0, 0, **FAILED)]
    _, shown, _ = tables.build("fid", entries, {}, "digits")
    assert shown.loc["fpa", "digits 16 px"] == "12.00 ± 2.83, 1 NaN"
    assert shown.loc["dcgan", "digits 16 px"] == "NaN"
    tidy, shown, _ = tables.build("scores", entries, {}, "digits")
    assert (shown.loc["dcgan, digits"] == "NaN").all()
    assert tidy[tidy["model"] == "dcgan"]["status"].tolist() == ["nan"]


def test_runs_without_a_score_are_named(entries):
    run = {"dataset": "digits", "resolution": 16, "model": "dcgan", "digest": "f" * 64}
    about = {**entries[0], "name": entries[0]["protocol"]}
    for seed, status in enumerate(("missing", "failed")):
        entries.append(tables.missing_score({**run, "seed": seed}, about, "best", status))
    frame, shown, caption = tables.build("fid", entries, {}, "digits")
    assert shown.loc["dcgan", "digits 16 px"] == "1 missing, 1 failed"
    assert frame.loc[frame["model"] == "dcgan", "n_failed"].tolist() == [2]
    assert "2,000 samples against 1,797 real images" in caption
    _, shown, _ = tables.build("fid", entries[:-1], {}, "digits")
    assert shown.loc["dcgan", "digits 16 px"] == "missing"
    tidy, shown, _ = tables.build("scores", entries, {}, "digits")
    assert tidy[tidy["model"] == "dcgan"]["status"].tolist() == ["missing", "failed"]
    assert set(shown.loc["dcgan, digits"]) == {"missing"}


def test_scores_are_one_row_per_run_and_metric(entries):
    tidy, shown, caption = tables.build("scores", entries, {"fpa": "FPA"}, "digits")
    assert len(tidy) == 4 * 3
    row = tidy[(tidy["model"] == "light_gan") & (tidy["metric"] == "fid_infinity")].iloc[0]
    assert (row["value"], row["error"], row["seed"], row["checkpoint"]) == (6, 0.25, 0, "best")
    assert shown.loc["FPA, digits"].tolist() == ["12.00 ± 2.83", "11.00 ± 2.83", "12.00 ± 2.83"]
    assert "2,000 samples against 1,797 real images" in caption


def test_several_protocols_have_rows_of_their_own(entries):
    entries += [score("fpa", 0, 5, protocol="paper")]
    _, shown, caption = tables.build("fid", entries, {}, "digits")
    assert shown.index.tolist() == ["fpa, quick", "light_gan, quick", "fpa, paper"]
    assert "protocol paper: 2,000 samples" in caption


def test_published_values_stand_in_brackets_with_their_source(entries, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text((tables.PUBLISHED).read_text() + "cats,fpa,fid,3.5,quick,x\n")
    published = tables.read_published(str(path))
    frame, shown, caption = tables.build("fid", entries, {}, "digits", published)
    assert shown.loc["fpa", "cats 16 px"] == "99.00 ± 0.50 (3.50)"
    assert shown.loc["fpa", "digits 16 px"] == "12.00 ± 2.83"
    assert frame["source"].tolist() == ["", "", "x"]
    assert "in brackets the published value" in caption
    path.write_text("dataset,value\ncats,many\n")
    with pytest.raises(UserError, match=r"published.csv: .*expected a CSV file with the columns"):
        tables.read_published(str(path))


def test_the_projects_own_list_of_published_values_is_empty():
    assert len(tables.read_published(tables.PUBLISHED)) == 0


def test_two_runs_are_compared_in_standard_errors():
    one, two = score("fpa", 0, 10), score("light_gan", 0, 7)
    cells = cells_of(tables.comparison(one, two))
    # sqrt(0.5^2 + 0.5^2) = 0.707
    assert cells[2] == ["fid", "10 ± 0.5", "7 ± 0.5", "+3", "+4.2"]
    assert cells[4] == ["kid", "0.01", "0.007", "+0.003", "unknown"]
    assert "NOT comparable: format differ" in tables.comparison(one, {**two, "format": "jpeg"})


def test_only_inception_features_are_called_fid(frame):
    caption = tables.metric_caption(frame, "fid")
    assert "efficientnet_lite0-96px features (not an Inception FID)" in caption
    inception = tables.metric_caption(frame.assign(extractor="inception_v3"), "fid")
    assert inception.startswith("FID (Inception-v3")


def test_latex_escapes_and_closes_what_it_opens(entries):
    for kind in ("fid", "kid", "scores"):
        _, shown, caption = tables.build(kind, entries, {}, "digits")
        text = tables.to_latex(shown, caption)
        assert r"light\_gan" in text
        assert r"$\pm$" in text
        assert text.count(r"\begin{") == text.count(r"\end{") == 2
        assert not set("é±—∞") & set(text)
