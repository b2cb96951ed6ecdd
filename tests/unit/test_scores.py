"""The record of a score: its file, and its rows in a tidy table."""

import json
import math
import tarfile

import pandas as pd
import pytest
from conftest import ROOT

from fpa.core.errors import UserError
from fpa.evaluation.distances import Estimate
from fpa.evaluation.metrics import label_of
from fpa.evaluation.scores import Score

SMALL = {
    **{"dataset": "digits", "resolution": 16, "model": "fpa", "seed": 3, "status": "ok"},
    **{"protocol": "quick", "extractor": "lite-96px", "run": "ab12"},
    "metrics": {"fid": {"value": 109.5, "error": 2.0}, "kid": {"value": 0.1, "error": None}},
}


@pytest.mark.parametrize("bundle", sorted((ROOT / "results" / "published").glob("*/bundle.tar.gz")))
def test_published_score_files_are_read_and_written_byte_for_byte(bundle, tmp_path):
    with tarfile.open(bundle) as archive:
        names = [name for name in archive.getnames() if "/score-" in name]
        assert names
        for name in names:
            published = archive.extractfile(name).read()
            (tmp_path / "one.json").write_bytes(published)
            Score.read(tmp_path / "one.json").write(tmp_path / "two.json")
            assert (tmp_path / "two.json").read_bytes() == published


def test_what_an_older_file_lacks_has_a_default_and_what_a_newer_one_adds_is_ignored(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps({**SMALL, "colour": "red"}))
    score = Score.read(tmp_path / "s.json")
    assert (score.not_finite, score.kimg, score.real_sha256, score.stages) == (0, None, None, {})
    assert score.metrics == {"fid": Estimate(109.5, 2.0), "kid": Estimate(0.1, math.nan)}
    assert score.as_json() == SMALL
    for wrong in ([], {**SMALL, "metrics": {"fid": 3}}, {"metrics": {}}):
        (tmp_path / "s.json").write_text(json.dumps(wrong))
        with pytest.raises(UserError, match="is no score file; name a run's folder"):
            Score.read(tmp_path / "s.json")


def test_the_columns_of_the_tables_are_fields():
    one = Score(**SMALL, n_real=1797)
    rows = pd.DataFrame(one.rows())
    assert rows["metric"].tolist() == ["fid", "kid"]
    assert rows["value"].tolist() == [109.5, 0.1]
    assert rows["error"].isna().tolist() == [False, True]
    assert rows.columns.tolist() == [
        *("dataset", "resolution", "model", "seed", "status", "protocol", "extractor"),
        *("metric", "error", "value", "n_real", "n_fake", "n_precision_recall"),
        *("checkpoint", "checkpoint_kimg", "kimg", "run"),
    ]
    (nan,) = one.model_copy(update={"status": "nan", "metrics": {}}).rows()
    assert (nan["metric"], nan["n_real"]) == ("", 1797)
    assert math.isnan(nan["value"])


def test_the_line_of_a_score_says_what_was_asked_for_and_could_not_be_computed():
    about = {**SMALL, "n_real": 99, "n_fake": 64, "resize": "clean", "format": "array"}
    asked = {"metrics": ["fid", "fid_infinity", "kid", "cmmd"]}
    line = Score.model_validate({**about, "settings": asked}).summary()
    assert line.endswith(
        "Fréchet distance 109.5 ± 2, KID 0.1; without Fréchet distance ∞ (needs four samples for each "
        "dimension of the features), CMMD (needs CLIP features (protocol clip))"
    )
    assert Score.model_validate(about).summary().endswith("KID 0.1")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["fid", "fid_infinity"], "NaN, because features are not finite"),
        (
            ["fid_infinity"],
            "are not finite or because FID ∞ needs four samples for each dimension of",
        ),
        ("fid", "NaN, because features are not finite"),
    ],
)
def test_a_score_without_a_value_blames_no_generator_that_may_be_whole(asked, expected):
    about = {**SMALL, "n_real": 99, "n_fake": 64, "resize": "clean", "format": "array"}
    nan = {"status": "nan", "metrics": {}, "settings": {"metrics": asked}}
    assert expected in Score.model_validate({**about, **nan}).summary()


@pytest.mark.parametrize(
    ("name", "label", "elsewhere"),
    [
        ("fid", "FID", "Fréchet distance"),
        ("fid_infinity", "FID ∞", "Fréchet distance ∞"),
        ("fid_torch_fidelity", "FID torch fidelity", "Fréchet distance torch fidelity"),
        ("kid", "KID", "KID"),
    ],
)
def test_only_a_distance_in_inceptions_features_is_an_fid(name, label, elsewhere):
    assert label_of(name, ["inception_v3"]) == label
    assert label_of(name, ["efficientnet_lite0-96px"]) == elsewhere
    assert label_of(name, ["inception_v3", "clip_vit_b32"]) == elsewhere
