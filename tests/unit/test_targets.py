"""Images and hours to a target distance."""

import math
from dataclasses import replace

import made_up
import pandas as pd
import pytest

from fpa.experiment.experiment import Experiment
from fpa.reporting.figures.training import targets
from fpa.reporting.make import make_figure
from fpa.reporting.results import Results, RunResults, read_runs
from fpa.reporting.tables.costs import target_of, targets_frame, targets_table

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
