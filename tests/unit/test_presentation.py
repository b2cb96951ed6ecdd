"""Tables from made-up scores."""

import json
from pathlib import Path

import made_up
import numpy as np
import pytest

from fpa.core.errors import UserError
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.scores import Score
from fpa.experiment.experiment import ProtocolEntry
from fpa.reporting.make import make_table
from fpa.reporting.results import Results, missing_score
from fpa.reporting.tables import PUBLISHED, TABLES, compare_runs, read_published, table_names
from fpa.reporting.tables.rendering import to_latex, to_markdown
from fpa.reporting.tables.scores import metric_frame
from fpa.reporting.tables.side_by_side import comparison


def score(model: str, seed: int, fid: float, **more) -> dict:
    values = {"fid": (fid, 0.5), "fid_infinity": (fid - 1, 0.25), "kid": fid / 1000}
    return made_up.entry(model, seed, values, **more)


FAILED = {"status": "nan", "metrics": {}}


@pytest.fixture
def entries():
    return [
        *(score("fpa", 0, 10), score("fpa", 1, 14), score("light_gan", 0, 7)),
        score("fpa", 0, 99, dataset="cats"),
    ]


@pytest.fixture
def frame(entries):
    return metric_frame("fid", made_up.results_of(entries))


def test_seeds_become_mean_and_standard_deviation(frame, entries):
    row = frame.iloc[0]
    assert (row["fid"], row["n_seeds"], row["kimg"]) == (12, 2, 100)
    assert row["fid_std"] == pytest.approx(8**0.5)
    assert (row["fid_error"], row["fid_infinity"], row["fid_infinity_error"]) == (0.5, 11, 0.25)
    assert row["runs"] == "fpa0000000 fpa1000000"
    assert np.isnan(frame.iloc[1]["fid_std"])
    kid = metric_frame("kid", made_up.results_of(entries))
    assert kid.iloc[0]["kid"] == pytest.approx(0.012)


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


def test_markdown_has_models_down_and_data_sets_across(entries):
    made = made_up.table("fid", entries, labels={"fpa": "FPA", "light_gan": "LightGAN"})
    cells = cells_of(to_markdown(made.shown, made.caption))
    assert cells[0] == ["Model", "digits 16 px", "cats 16 px"]
    assert cells[2] == ["FPA", "12.00 ± 2.83", "99.00"]
    assert cells[3] == ["LightGAN", "7.00", "—"]


def test_plus_minus_is_of_trainings_or_of_the_sample_where_there_is_one(entries):
    for kind in ("fid", "scores"):
        assert made_up.table(kind, entries).shown.iloc[0, 0] == "12.00 ± 2.83"
        assert made_up.table(kind, entries[1:]).shown.iloc[0, 0] == "14.00 ± 0.50"
    assert made_up.table("kid", entries[1:]).shown.iloc[0, 0] == "14.00"


def test_failed_runs_are_shown_as_such(entries):
    entries += [score("fpa", 2, 0, **FAILED), score("dcgan", 0, 0, **FAILED)]
    _, shown, _, _ = made_up.table("fid", entries)
    assert shown.loc["fpa", "digits 16 px"] == "12.00 ± 2.83, 1 NaN"
    assert shown.loc["dcgan", "digits 16 px"] == "NaN"
    tidy, shown, _, _ = made_up.table("scores", entries)
    assert (shown.loc["dcgan, digits"] == "NaN").all()
    assert tidy[tidy["model"] == "dcgan"]["status"].tolist() == ["nan"]


def test_runs_without_a_score_are_named(entries):
    parts = ("extractor", "resize", "format", "n_fake", "n_real")
    protocol = ProtocolEntry(
        name="quick", score="score-quick", **{key: entries[0][key] for key in parts}
    )
    for seed, status in enumerate(("missing", "failed")):
        run = made_up.run_results("dcgan", seed, {}).run
        entries.append(missing_score(run, protocol, "best", status))
    frame, shown, caption, _ = made_up.table("fid", entries)
    assert shown.loc["dcgan", "digits 16 px"] == "1 missing, 1 failed"
    assert frame.loc[frame["model"] == "dcgan", "n_failed"].tolist() == [2]
    assert "2,000 samples against 1,797 real images" in caption
    _, shown, _, _ = made_up.table("fid", entries[:-1])
    assert shown.loc["dcgan", "digits 16 px"] == "missing"
    tidy, shown, _, _ = made_up.table("scores", entries)
    assert tidy[tidy["model"] == "dcgan"]["status"].tolist() == ["missing", "failed"]
    assert set(shown.loc["dcgan, digits"]) == {"missing"}


def test_scores_are_one_row_per_run_and_metric(entries):
    tidy, shown, caption, _ = made_up.table("scores", entries, labels={"fpa": "FPA"})
    assert len(tidy) == 4 * 3
    row = tidy[(tidy["model"] == "light_gan") & (tidy["metric"] == "fid_infinity")].iloc[0]
    assert (row["value"], row["error"], row["seed"], row["checkpoint"]) == (6, 0.25, 0, "best")
    assert shown.loc["FPA, digits"].tolist() == ["12.00 ± 2.83", "11.00 ± 2.83", "12.00 ± 2.83"]
    assert "2,000 samples against 1,797 real images" in caption


def test_a_metric_that_could_not_be_computed_is_absent_with_the_reason(entries):
    for entry in entries:
        entry["settings"] = {"metrics": ["fid", "fid_infinity", "kid"]}
        del entry["metrics"]["fid_infinity"]
    _, shown, caption, _ = made_up.table("scores", entries)
    assert list(shown.columns) == ["Fréchet distance", "KID x 1000"]
    assert (
        "; no Fréchet distance ∞, which needs four samples for each dimension of the features;"
        in caption
    )
    _, shown, caption, _ = made_up.table("fid", entries)
    assert shown.loc["light_gan", "digits 16 px"] == "7.00"
    assert "Fréchet distance ∞" not in caption
    _, shown, caption, _ = made_up.table("fid_infinity", entries)
    assert (shown == "—").all(axis=None)
    assert "no Fréchet distance ∞, which needs" in caption
    # Held by one score, it is a column: the others have a dash.
    entries[0]["metrics"]["fid_infinity"] = {"value": 9.0, "error": 0.25}
    _, shown, caption, _ = made_up.table("scores", entries)
    assert shown["Fréchet distance ∞"].tolist() == ["9.00", "—", "—"]
    assert "no FID" not in caption


def test_several_protocols_have_rows_of_their_own(entries):
    entries += [score("fpa", 0, 5, protocol="paper")]
    _, shown, caption, _ = made_up.table("fid", entries)
    assert shown.index.tolist() == ["fpa, quick", "light_gan, quick", "fpa, paper"]
    assert "protocol paper: 2,000 samples" in caption


def test_published_values_stand_in_brackets_with_their_source(entries, tmp_path):
    path = tmp_path / "published.csv"
    path.write_text(PUBLISHED.read_text() + "cats,fpa,fid,3.5,quick,x\n")
    published = read_published(str(path))
    frame, shown, caption, _ = made_up.table("fid", entries, published=published)
    assert shown.loc["fpa", "cats 16 px"] == "99.00 (3.50)"
    assert shown.loc["fpa", "digits 16 px"] == "12.00 ± 2.83"
    assert frame["source"].tolist() == ["", "", "x"]
    assert "in brackets the published value" in caption
    path.write_text("dataset,value\ncats,many\n")
    with pytest.raises(UserError, match=r"published.csv: .*expected a CSV file with the columns"):
        read_published(str(path))


def test_the_projects_own_list_of_published_values_is_empty():
    assert len(read_published(PUBLISHED)) == 0


def test_two_runs_are_compared_in_standard_errors():
    one, two = (Score.model_validate(score(*s)) for s in (("fpa", 0, 10), ("light_gan", 0, 7)))
    cells = cells_of(comparison(one, two))
    # sqrt(0.5^2 + 0.5^2) = 0.707
    assert cells[2] == ["fid", "10 ± 0.5", "7 ± 0.5", "+3", "+4.2"]
    assert cells[4] == ["kid", "0.01", "0.007", "+0.003", "unknown"]
    assert "NOT comparable" not in comparison(one, two)
    assert "Another training of either model may differ by several times" in comparison(one, two)


@pytest.mark.parametrize(
    ("other", "warning"),
    [
        ({"format": "jpeg"}, "format (array and jpeg)"),
        ({"checkpoint": "last"}, "checkpoint (best and last)"),
        ({"n_fake": 50_000}, "n_fake (2,000 and 50,000)"),
        ({"real_sha256": "ab"}, "real_sha256"),
        ({"settings": {"groups": 20}}, "settings.groups (10 and 20)"),
        ({"stages": {"score": 2}, "n_real": 9}, "n_real (1,797 and 9), stages.score (1 and 2)"),
    ],
)
def test_runs_that_were_not_scored_alike_are_not_comparable(other, warning):
    alike = {"settings": {"groups": 10}, "stages": {"score": 1}}
    one, two = score("fpa", 0, 10, **alike), score("light_gan", 0, 7, **{**alike, **other})
    compared = comparison(Score.model_validate(one), Score.model_validate(two))
    assert f"NOT comparable: {warning}\n" in compared


def test_runs_without_a_common_metric_or_with_other_metrics_are_compared():
    one = score("fpa", 0, 10, settings={"groups": 10, "metrics": ["fid"]})
    two = score("gan", 0, 10, settings={"groups": 10, "metrics": ["fid", "kid"]})
    one, two, failed = (Score.model_validate(s) for s in (one, two, {**two, **FAILED}))
    assert "NOT" not in comparison(one, two)
    assert "No metric has a value of both." in comparison(one, failed)


def written(folder: Path, scores: dict[str, dict]) -> Path:
    """A run's folder with such score files."""
    folder.mkdir()
    for name, content in scores.items():
        (folder / f"score-{name}.json").write_text(json.dumps(content))
    return folder


def test_one_of_several_scores_is_not_taken_silently(tmp_path):
    def write(run, **files):
        found = {f"quick-{name}": score(run, 0, 10, n_fake=n) for name, n in files.items()}
        return written(tmp_path / run, found)

    old, new = write("old", a=10), write("new", b=50_000)
    both, other = write("both", a=10, b=50_000), write("other", c=10, d=20)
    # Of the same name and so made alike: each of them.
    assert compare_runs(both, both).count("A: ") == 2
    assert "10 samples" in compare_runs(old, both)
    assert "NOT" not in compare_runs(both, new)
    # One on either side: compared, with the warning.
    assert "NOT comparable: n_fake (10 and 50,000)" in compare_runs(old, new)
    message = (
        r"both holds 2 scores by protocol quick.*: score-quick-a.json, score-quick-b.json; name"
    )
    with pytest.raises(UserError, match=message):
        compare_runs(both, other)
    assert "NOT" not in compare_runs(both / "score-quick-a.json", other / "score-quick-c.json")


def test_only_inception_features_are_called_fid(entries):
    caption = made_up.table("fid", entries).caption
    assert "efficientnet_lite0-96px features (not an Inception FID)" in caption
    for entry in entries:
        entry["extractor"] = "inception_v3"
    assert made_up.table("fid", entries).caption.startswith("FID (Inception-v3")


def test_latex_escapes_and_closes_what_it_opens(entries):
    for kind in ("fid", "kid", "scores"):
        _, shown, caption, _ = made_up.table(kind, entries)
        text = to_latex(shown, caption)
        assert r"light\_gan" in text
        assert r"$\pm$" in text
        assert text.count(r"\begin{") == text.count(r"\end{") == 2
        assert not set("é±—∞") & set(text)


# Metrics and versions -----------------------------------------------------------------------


def test_metrics_are_shown_as_their_registry_says(entries):
    for entry in entries:
        entry["metrics"]["fid_torch_fidelity"] = {"value": 1.0, "error": None}
    tidy, shown, _, _ = made_up.table("scores", entries)
    expected = [name for name in METRICS if name in entries[0]["metrics"]]
    assert len(shown.columns) == len(expected) == 3
    assert "KID x 1000" in shown.columns
    assert "fid_torch_fidelity" in set(tidy["metric"])
    of_runs = table_names(of="runs")
    assert table_names() == ["claims", "fid", "kid", "scores", "comparisons", *of_runs, "models"]
    assert of_runs == ["agreement", "choices", "health", "targets"]
    assert all(callable(table.make) for table in TABLES.values())
    with pytest.raises(UserError, match=r"unknown metric .fit..*did you mean 'fid'"):
        made_up.table("fit", entries)


def test_a_metric_of_a_plugin_is_in_every_table(entries, sharpness):
    for entry in entries:
        entry["metrics"]["sharpness"] = {"value": 0.25, "error": 0.01}
    tidy, shown, _, _ = made_up.table("scores", entries)
    assert (tidy["metric"] == "sharpness").sum() == len(entries)
    assert shown.loc["light_gan, digits", "sharpness x 100"] == "25.0"
    assert "sharpness" in table_names()
    _, shown, caption, _ = made_up.table("sharpness", entries[2:3])
    assert shown.loc["light_gan"].tolist() == ["25.0 ± 1.0"]
    assert caption.startswith("sharpness x 100 in efficientnet_lite0-96px features, higher is")


@pytest.mark.parametrize("kind", ["fid", "scores"])
def test_a_table_says_where_it_mixes_versions_of_a_stage(entries, kind):
    for entry, version in zip(entries, (2, 1, 1, None), strict=True):
        entry["stages"] = {"train": 1, "features": version} if version else None
    del entries[-1]["stages"]
    made = made_up.table(kind, entries)
    assert made.whole_caption("mine").endswith(
        "; experiment mine. MIXED: made by versions 1 and 2 of stage features; "
        "run snakemake again to make them alike."
    )
    made = made_up.table(kind, entries[1:])
    assert "MIXED" not in made.whole_caption("mine")


# Files --------------------------------------------------------------------------------------


def test_a_table_is_written_with_the_names_of_the_description(entries, tmp_path):
    out = tmp_path / "tables" / "fid.csv"
    results = made_up.results_of(entries, labels={"fpa": "FPA", "light_gan": "LightGAN"})
    markdown = make_table("fid", results, out)
    assert [cells[0] for cells in cells_of(markdown)[2:]] == ["FPA", "LightGAN"]
    assert "experiment test" in markdown
    assert out.with_suffix(".md").read_text() == markdown
    assert out.with_suffix(".tex").read_text().startswith(r"\begin{table}")
    before = out.stat().st_mtime_ns
    make_table("fid", results, out)
    assert out.stat().st_mtime_ns == before
    markdown = make_table("fid", Results(scores=results.scores), out)
    assert [cells[0] for cells in cells_of(markdown)[2:]] == ["fpa", "light_gan"]
    assert "experiment" not in markdown


def test_runs_are_compared_by_the_protocols_that_they_share(tmp_path):
    both = {"quick": score("fpa", 0, 10), "paper": score("fpa", 0, 9, protocol="paper")}
    one, none = written(tmp_path / "one", both), written(tmp_path / "none", {})
    two = written(tmp_path / "two", {"quick": score("light_gan", 0, 7)})
    three = {"clean": score("light_gan", 0, 7, protocol="clean")}
    three = written(tmp_path / "three", three)
    assert compare_runs(one, two).count("in standard errors") == 1
    assert compare_runs(one, one).count("in standard errors") == 2
    assert compare_runs(one / "score-quick.json", two) == compare_runs(one, two)
    with pytest.raises(UserError, match="no protocol scores both"):
        compare_runs(one, three)
    with pytest.raises(UserError, match="holds no score"):
        compare_runs(one, none)
    (none / "other.json").write_text("[]")
    with pytest.raises(UserError, match="is no score file"):
        compare_runs(one, none / "other.json")
