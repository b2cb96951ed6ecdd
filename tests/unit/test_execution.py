"""Channels last and compiled networks: the same numbers as without, or a line and no change."""

import copy

import pytest
import torch
from test_golden import MODELS, built
from torch import nn

from fpa.core.torch_utils import uncompiled
from fpa.runs import execution
from fpa.runs.execution import Execution

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
