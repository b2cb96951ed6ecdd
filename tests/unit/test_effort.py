"""What an experiment costs, before anything runs."""

import pytest
import yaml
from conftest import ROOT, fpa

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import write_json
from fpa.experiment.plan import Plan
from fpa.workflow.cost_estimate import efforts, read_rates, shortest_hours


@pytest.fixture
def experiment(tiny, tmp_path) -> Plan:
    """Two seeds of three models, of which the U-Net starts from the FPA."""
    tiny["seeds"] = [0, 1]
    tiny["results"] = str(tmp_path / "results")
    tiny["training"]["kimg"] = 3.6
    tiny["models"]["lightgan"]["training"] = {"kimg": 7.2}
    return Plan(tiny)


def finish(experiment: Plan, model: str, seed: int, rate: float = 0) -> None:
    run = next(r for r in experiment.runs if (r.model.name, r.seed) == (model, seed))
    folder = experiment.results / run.folder
    write_json(folder / artifacts.SUMMARY, {"digest": run.digest})
    if rate:
        cost = {"training_images_per_second": rate, "hardware": {"cpu": "Pentium"}}
        write_json(folder / artifacts.COST, cost)


def test_hours_are_images_over_their_rate(experiment):
    rates = read_rates(["2", "lightgan=4"], experiment)
    found = {effort.model: effort for effort in efforts(experiment, rates)}
    assert {model: effort.hours for model, effort in found.items()} == pytest.approx(
        {"fpa": 1.0, "fpa_unet": 1.0, "lightgan": 1.0}
    )
    assert found["fpa"].steps == 2 * 450
    assert found["lightgan"].images == 14_400


def test_only_what_is_left_to_train_counts(experiment):
    finish(experiment, "fpa", 0)
    (fpa, *_) = efforts(experiment, {"fpa": 1.0})
    assert (fpa.runs, fpa.trained, fpa.images) == (2, 1, 3600)
    finish(experiment, "fpa", 1)
    (fpa, *_) = efforts(experiment, {})
    assert fpa.hours == 0


def test_a_rate_is_given_or_measured_or_unknown(experiment):
    finish(experiment, "fpa", 0, rate=7)
    given, measured, unknown = (
        next(iter(efforts(experiment, {"fpa": 3.0}))),
        *list(efforts(experiment, {}))[:2],
    )
    assert (given.rate, given.source) == (3, "given")
    assert (measured.rate, measured.source) == (7, "measured on Pentium")
    assert unknown.source == "unknown"
    now = list(efforts(experiment, {}, measure=0.01))[1]
    assert now.source == "measured now"
    assert now.rate > 0


@pytest.mark.parametrize(
    ("together", "hours"),
    # Six trainings of half an hour each; the U-Net's come after their painters'.
    [(1, 3.0), (2, 1.5), (3, 1.0), (100, 1.0)],
)
def test_the_shortest_time_is_limited_by_places_and_by_what_comes_first(
    experiment, together, hours
):
    found = list(efforts(experiment, read_rates(["2", "lightgan=4"], experiment)))
    assert shortest_hours(experiment, found, together) == pytest.approx(hours)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fast", "expected images per second"),
        ("-1", "expected images per second"),
        ("nan", "expected images per second"),
        ("fpq=1", "no model 'fpq'.*did you mean 'fpa'"),
    ],
)
def test_a_wrong_rate_is_refused(experiment, text, complaint):
    with pytest.raises(UserError, match=complaint):
        read_rates([text], experiment)


def test_the_plan_prints_hours_gpu_hours_and_energy(tmp_path):
    config = yaml.safe_load((ROOT / "experiments/smoke.yaml").read_text())
    config["runtime"]["device"] = "auto"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = fpa("plan", "config.yaml", "--cost", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("hours are unknown: give speeds (--rate")
    done = fpa("plan", "config.yaml", "--cost", "--rate", "0.01", "--watts", "300", cwd=tmp_path)
    *_, last = done.stdout.splitlines()
    assert "GPU-hours" in last
    assert "kWh at 300 W" in last
    done = fpa("plan", "config.yaml", "--cost", "--watts", "-3", cwd=tmp_path)
    assert done.returncode == 2
    assert "above 0" in done.stderr
