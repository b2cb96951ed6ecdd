"""How steps are computed: less exact arithmetic is off, named and recorded; channels last and compiled
networks give the same numbers as without, or a line and no change."""

import copy
import json

import numpy as np
import pytest
import torch
from conftest import TINY
from test_adversarial_training import images
from test_golden import MODELS, built
from torch import nn

from fpa.core.errors import UserError
from fpa.core.torch_utils import uncompiled
from fpa.data.sampler import EpochSampler
from fpa.experiment.config import RuntimeSettings
from fpa.experiment.plan import Plan
from fpa.runs import devices, execution
from fpa.runs.execution import COMPILE, Execution
from fpa.training.loop import Training
from fpa.training.train_run import train

CPU = torch.device("cpu")
BATCH = (4, 1, 16, 16)


def steps(model, how: Execution, count: int = 2) -> list[dict]:
    torch.manual_seed(1)
    found = []
    for _ in range(count):
        with how.step(CPU):
            found.append(model.step(torch.rand(BATCH)))
    return found


def assert_close(found: list[dict], expected: list[dict]) -> None:
    assert [losses.keys() for losses in found] == [losses.keys() for losses in expected]
    for ours, theirs in zip(found, expected, strict=True):
        for name, value in theirs.items():
            # Rounding of float32 in another order, through a penalty and Adam's first step.
            torch.testing.assert_close(ours[name], value, rtol=2e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_recipe_trains_channels_last_by_rounding_as_without(name):
    plain = built(name)
    model, how = copy.deepcopy(plain), Execution(channels_last=True)
    orders = set()
    assert how.prepare(model, BATCH, CPU) == how
    for module in model.discriminator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(
                lambda _, given: orders.add(
                    given[0].is_contiguous(memory_format=torch.channels_last)
                )
            )
    assert_close(steps(model, how), steps(plain, Execution()))
    # StyleGAN2 has layers of its own.
    assert orders == (set() if name == "stylegan2_ada" else {True})
    # A checkpoint does not depend on it.
    for network in model.networks.values():
        assert all(value.is_contiguous() for value in network.state_dict().values())


class Toy:
    """The smallest model with a penalty on a slope."""

    def __init__(self, careful: bool = True) -> None:
        torch.manual_seed(0)
        self.generator, self.discriminator = nn.Linear(2, 256), nn.Linear(256, 1)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator}
        self.careful, self.seen = careful, 0
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        self.optimizer = torch.optim.Adam(parameters, 1e-2)

    def step(self, real):
        real = real.flatten(1).requires_grad_()
        self.seen += len(real)
        with uncompiled(self.discriminator if self.careful else nn.Identity()):
            judged = self.discriminator(real).square().sum()
        (slope,) = torch.autograd.grad(judged, real, create_graph=True)
        fake = self.discriminator(self.generator(torch.randn(len(real), 2)))
        loss = slope.square().mean() + fake.square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}

    def state_dict(self):
        parts = {**self.networks, "optimizer": self.optimizer}
        return {"seen": self.seen, **{name: part.state_dict() for name, part in parts.items()}}

    def load_state_dict(self, state):
        self.seen = state["seen"]
        for name, part in {**self.networks, "optimizer": self.optimizer}.items():
            part.load_state_dict(state[name])


def said(caplog) -> list[str]:
    """What the log told a user; torch's compiler has much to say below that."""
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def compiled(monkeypatch, backend, model: Toy) -> Execution:
    monkeypatch.setitem(execution.BACKENDS, "compile", backend)
    return Execution(compile="compile").prepare(model, BATCH, CPU)


def test_compiled_networks_train_as_those_that_are_not(monkeypatch):
    called = []

    def backend(graph, inputs):
        def run(*args):
            called.append(1)
            return graph(*args)

        return run

    model = Toy()
    how = compiled(monkeypatch, backend, model)
    assert how.compile == "compile"
    assert called
    assert model.seen == 0
    assert_close(steps(model, how, 5), steps(Toy(), Execution(), 5))


def test_what_is_differentiated_twice_is_not_compiled(monkeypatch, caplog):
    assert compiled(monkeypatch, "aot_eager", Toy()).compile == "compile"
    assert not said(caplog)
    assert compiled(monkeypatch, "aot_eager", Toy(careful=False)).compile == "none"
    (line,) = said(caplog)
    assert "runtime.compile: compile is left out: torch.compile with aot_autograd" in line


@pytest.mark.parametrize(
    ("asked", "why"), [("compile", "no compiler here"), ("graphs", "graphs need a CUDA GPU")]
)
def test_what_cannot_be_compiled_is_said_and_trains_as_it_would(asked, why, monkeypatch, caplog):
    def backend(graph, inputs):
        raise OSError("no compiler here")

    monkeypatch.setitem(execution.BACKENDS, "compile", backend)
    model, plain, before = Toy(), Toy(), torch.get_rng_state()
    how = Execution(compile=asked).prepare(model, BATCH, CPU)
    assert how == Execution()
    (line,) = said(caplog)
    assert f"runtime.compile: {asked} is left out" in line
    assert why in line
    assert torch.equal(torch.get_rng_state(), before)
    for ours, theirs in zip(steps(model, how, 3), steps(plain, how, 3), strict=True):
        assert torch.equal(ours["loss"], theirs["loss"])


@pytest.mark.parametrize(("name", "expected"), [("lightgan", "T F F"), ("stylegan2_ada", "F F T")])
def test_penalties_run_without_the_compiler(name, expected, monkeypatch):
    """Every call of the discriminator in the first step, in order, and whether it was kept out."""
    model, calls, kept_out = built(name), [], []

    class Stance:
        def __init__(self, stance):
            assert stance == "force_eager"

        def __enter__(self):
            kept_out.append(True)

        def __exit__(self, *_):
            kept_out.pop()

    def call(*args, **kwargs):
        calls.append("T" if kept_out else "F")
        return model.discriminator._call_impl(*args, **kwargs)

    monkeypatch.setattr(torch.compiler, "set_stance", Stance)
    model.discriminator._compiled_call_impl = call
    model.step(torch.rand(BATCH))
    assert " ".join(calls) == expected


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
