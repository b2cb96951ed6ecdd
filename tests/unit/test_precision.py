"""Arithmetic less exact than float32: off by default, named, recorded."""

import json

import numpy as np
import pytest
import torch
from conftest import TINY
from test_adversarial_training import images
from test_golden import MODELS, built

from fpa.core.errors import UserError
from fpa.data.sampler import EpochSampler
from fpa.experiment.config import RuntimeSettings
from fpa.experiment.plan import Plan
from fpa.runs import devices, execution
from fpa.runs.execution import COMPILE, Execution
from fpa.training.loop import Training
from fpa.training.train_run import train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_before():
    before = execution.tf32_in_use()
    yield
    execution.set_precision(before)


def test_a_process_uses_no_tf32_unless_it_is_told_to():
    execution.set_precision(execution.TF32)  # torch itself begins with two of them on
    devices.choose("cpu")
    assert execution.tf32_in_use() == []
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.rnn.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


@pytest.mark.parametrize("name", execution.TF32)
def test_each_kind_of_operation_is_switched_by_itself(name):
    devices.choose("cpu", precision=[name])
    assert execution.tf32_in_use() == [name]


@pytest.mark.parametrize(
    "names", [(), ("tf32_matmul",), ("tf32_convolution", "tf32_lstm"), execution.TF32]
)
def test_torchs_older_switches_say_the_same(names):
    """torch raises where they do not, such as in the middle of torch.export."""
    execution.set_precision(["tf32_lstm"])  # which they cannot say
    execution.set_precision(names)
    assert torch.backends.cuda.matmul.allow_tf32 == ("tf32_matmul" in names)
    assert torch.backends.cudnn.allow_tf32 == ("tf32_lstm" in names)
    torch.export.export(torch.nn.Conv2d(1, 1, 1), (torch.zeros(1, 1, 2, 2),))


def test_quick_scores_are_computed_in_float32():
    execution.set_precision(["tf32_lstm"])
    with execution.full_precision():
        assert execution.tf32_in_use() == []
    assert execution.tf32_in_use() == ["tf32_lstm"]


def test_an_unknown_name_is_told_before_anything_runs():
    with pytest.raises(UserError, match="no 'tf32_lstn'; did you mean 'tf32_lstm'"):
        devices.choose("cpu", precision=["tf32_lstn"])


def test_the_configuration_offers_what_there_is():
    runtime = RuntimeSettings.model_json_schema()["properties"]
    assert tuple(runtime["precision"]["items"]["enum"]) == execution.CHOICES
    assert tuple(runtime["compile"]["enum"]) == COMPILE


def small_run(tmp_path):
    config = {**TINY, "models": {"fpa": TINY["models"]["fpa"]}, "results": str(tmp_path / "r")}
    return Plan(config).runs[0]


def test_a_run_records_what_it_used(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16), np.uint8)
    names = ["tf32_convolution", "autocast_bfloat16"]
    devices.choose("cpu", precision=names)
    one = Training(
        small_run(tmp_path),
        EpochSampler(pictures, 8, 0),
        "",
        CPU,
        100,
        execution=Execution(names, channels_last=True),
    )
    seen = set()
    hook = one.model.discriminator.to_logit[-1].register_forward_hook(
        lambda module, given, made: seen.add(made.dtype)
    )
    train(one, tmp_path)
    hook.remove()
    assert seen == {torch.bfloat16}
    summary = json.loads((tmp_path / "train.json").read_text())
    assert (summary["precision"], summary["channels_last"]) == (names, True)
    assert summary["compile"] == "none"


@pytest.mark.parametrize("name", list(MODELS))
def test_every_recipe_trains_in_bfloat16_much_as_in_float32(name):
    losses = []
    for names in ((), (execution.AUTOCAST,)):
        model = built(name)
        with execution.autocast(names, CPU):
            losses.append(model.step(images()))
    exact, cast = losses
    assert cast.keys() == exact.keys()
    for key, value in exact.items():
        if (name, key) == ("lightgan", "gradient_penalty"):
            # A channel norm of the untrained network divides by almost nothing: the slope is
            # rounding, blown up.
            assert cast[key].isfinite()
            continue
        # bfloat16 keeps 8 bits: some percent after a network's depth.
        torch.testing.assert_close(cast[key].float(), value, rtol=0.1, atol=0.05)
