"""The suite of benchmarks runs and says what it measured, its plain forms train as the fast ones do, and the page on speed
shows its numbers."""

import importlib
import json
import os

import pytest
import torch
from conftest import ROOT, module_of
from test_adversarial_training import float64
from test_golden import built
from torch.utils.flop_counter import FlopCounterMode

from fpa.experiment.config import read_config
from fpa.experiment.plan import Plan
from fpa.models.learning_rules import delta

CPU = torch.device("cpu")
WORKS = {"step", "generator step", "discriminator step", "step with penalties", "penalty step"}


@pytest.fixture
def benchmark(monkeypatch):
    """A module of benchmarks/ by name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.mark.slow
def test_the_suite_measures_every_stage_and_every_model(benchmark, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    threads = torch.get_num_threads()
    suite = module_of("benchmarks/__main__.py")
    try:
        found = json.loads(json.dumps(suite.suite(suite.TINY, [*suite.STAGES, "growth"])))
    finally:
        torch.set_num_threads(threads)
    rows = found["rows"]
    assert {row["stage"] for row in rows} == set(suite.STAGES)
    works: dict[str, set[str]] = {}
    for row in rows:
        if row["stage"] == "training":
            works.setdefault(row["name"], set()).add(row["work"])
            assert (row["limit"] is not None) == (row["work"] in ("step", "step with penalties"))
    assert set(works) == set(suite.models(suite.TINY.configs["smoke"])[0])
    assert works.pop("dcgan") == {"step"}
    assert works.pop("stylegan2_ada") == WORKS | {"path length step"}
    assert all(each == WORKS for each in works.values())
    Row = benchmark("measuring").Row
    for row in rows:
        assert Row.from_json(row).as_json() == row
        low, high = row["spread"]
        assert 0 < low <= row["seconds"] <= high
        assert (row["ratio"] is not None) == bool(row["plain"]) == bool(row["plain_form"])
    points = {(point["T"], point["D"], point["form"], point["work"]) for point in found["growth"]}
    assert len(points) == len(found["growth"]) == 4 * len(suite.TINY.growth)
    assert {"torch", "python", "fpa"} <= found["versions"].keys()
    assert found["hardware"][0]["cpu"]


def test_a_row_has_medians_quartiles_and_ratios(benchmark):
    row = benchmark("measuring").Row("painting", "paper", "delta", "forward", "cpu")
    row.ours, row.plain, row.limit = [3.0, 1.0, 2.0, 9.0, 4.0], [6.0, 30.0, 5.0], 1.5
    assert (row.seconds, row.ratio, row.times_the_limit) == (3.0, 2.0, 2.0)
    assert row.spread == (2.0, 4.0)
    row.ours, row.plain = [1.0, 3.0], []
    assert (row.spread, row.ratio) == ((1.0, 3.0), None)


def test_forms_take_turns_and_the_plain_one_stops_earlier(benchmark):
    measuring = benchmark("measuring")
    called: list[str] = []
    forms = {name: lambda name=name: called.append(name) for name in ("ours", "plain")}
    measuring.alternate(forms, measuring.Effort(2, 0, least=2, plain=2), lambda: 0.0)
    assert called == ["ours", "plain"] * 3
    called.clear()
    measuring.alternate(forms, measuring.Effort(3, 0, least=3, plain=1), lambda: 0.0)
    assert called == ["ours", "ours", "plain", "ours", "ours"]
    ticks = iter(range(100))
    called.clear()
    measuring.alternate(forms, measuring.Effort(9, 1.5, least=1), lambda: next(ticks))
    assert called == ["ours", "plain"] * 3


def test_the_limit_counts_what_torch_counts(benchmark):
    """Convolutions and products as torch's own counter has them; LSTMs step by step."""
    arithmetic = benchmark("arithmetic")
    layer, x = torch.nn.Conv2d(3, 5, 3), torch.randn(2, 3, 8, 8, requires_grad=True)
    counter = FlopCounterMode(display=False)
    with counter:
        layer(x).sum().backward()
    recorder = arithmetic.record(lambda: layer(x).sum().backward())
    assert recorder.flops == counter.get_total_flops() == 3 * 2 * 2 * 5 * 6 * 6 * 3 * 9
    lstm = torch.nn.LSTM(7, 4, batch_first=True)
    with torch.no_grad():
        recorder = arithmetic.record(lambda: lstm(torch.randn(3, 6, 7)))
    assert recorder.flops == 2 * 3 * 6 * (4 * 4) * (7 + 4)
    assert torch.backends.mkldnn.enabled
    ticks = iter(range(1000))
    # Each repeat takes a tick, as does each look at the time that is spent.
    assert arithmetic.limit(recorder, lambda: next(ticks)) == sum(recorder.calls.values())


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("T", "D"), [(64, 16), (16, 64), (32, 32)])
def test_the_growth_formulas_are_what_the_parallel_form_does(T, D, backward, benchmark):
    painting = benchmark("painting")
    made = painting.leaves(2, 3, T, D, CPU)
    inputs = [made[name] for name in ("keys", "values", "rates")]
    run = painting.both if backward else painting.forward
    counter = FlopCounterMode(display=False)
    with counter:
        run(delta, inputs)
    # torch counts products; a triangular system of T rows takes T^2 FLOPs a column.
    systems = (2 if backward else 1) * T * T * D
    assert painting.flops(T, D, backward) == counter.get_total_flops() / 6 + systems
    peak = painting.peak(lambda: run(delta, inputs), CPU)
    # Rates and sums are a few numbers more.
    assert peak / 6 == pytest.approx(painting.peak_bytes(T, D, backward), rel=0.05)


def test_the_page_on_speed_has_the_numbers_of_the_results():
    performance = module_of("docs/performance.py")
    text = (ROOT / "docs/performance.md").read_text()
    assert performance.filled(text, performance.blocks()) == text
    with pytest.raises(ValueError, match="0 places for 'nothing'"):
        performance.filled(text, {"nothing": ""})
    assert performance.load("cpu")["growth"]


def test_the_training_of_version_0_1_is_an_experiment_of_models_of_the_same_classes():
    first, now = (
        Plan(read_config(ROOT / path)) for path in ("benchmarks/first.yaml", "config.yaml")
    )
    # Its U-Net has the published form, the default experiment's starts as the identity.
    classes = [[run.model.class_ for run in one.runs] for one in (first, now)]
    assert classes[0] == classes[1]
    assert first.results == now.results


@pytest.fixture
def plain_forms(monkeypatch):
    """benchmarks/plain_forms.py's context: what is computed in it takes the plain forms."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from plain_forms import plain_forms

    return plain_forms


def trained(name: str, steps: int) -> tuple[list[dict], dict]:
    """Losses and weights of a few steps in float64, penalty and all."""
    model = built(name)
    for network in model.networks.values():
        network.double()
    losses = [model.step(torch.rand(4, 1, 16, 16)) for _ in range(steps)]
    weights = {
        f"{network}.{key}": value.clone()
        for network, module in model.networks.items()
        for key, value in module.state_dict().items()
    }
    return losses, weights


@pytest.mark.parametrize("name", ["fpa", "fpa_unet", "lightgan", "stylegan2_ada"])
def test_training_steps_are_those_of_the_plain_forms(name, plain_forms):
    with float64():
        losses, weights = trained(name, 3)
        with plain_forms():
            plain_losses, plain_weights = trained(name, 3)
    # Rounding of float64, which batch norm over four images and Adam's first steps enlarge: each moves
    # a weight by some 2e-4 whatever its gradient's size, so that the smallest gradients' rounding shows.
    close = {"rtol": 1e-6, "atol": 1e-8}
    for ours, plain in zip(losses, plain_losses, strict=True):
        assert ours.keys() == plain.keys()
        for key, value in plain.items():
            torch.testing.assert_close(ours[key], value, **close)
    assert weights.keys() == plain_weights.keys()
    for key, value in plain_weights.items():
        torch.testing.assert_close(weights[key], value, **close)
