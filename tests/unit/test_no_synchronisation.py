"""Training steps, sampling and quick scores on the `meta` device, which has shapes and no numbers.

There, a number that the host asks for is an error, and so is an operation on tensors of two devices.
Copies from the host, which would make it wait for a GPU, are errors here as well. So what runs there
neither waits for a GPU nor mixes devices.
"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from baselines.stylegan2_ada.augment import _margins
from fpa.core import distributed, torch_utils
from fpa.data.sampler import EpochSampler
from fpa.evaluation import extractors
from fpa.evaluation.protocols import Space
from fpa.evaluation.quick_score import QuickScore
from fpa.experiment.config import read_config
from fpa.experiment.plan import Plan
from fpa.runs.run import Run, build_model
from fpa.training.loop import Training

META = torch.device("meta")
STEPS = 5
"""The first step has every penalty; after four more the painters have theirs again."""


class NoWaiting(TorchDispatchMode):
    """An error for a copy from the host that is not queued behind the device's work."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        copied = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if copied and isinstance(made, torch.Tensor) and made.device == META:
            (source,) = (x for x in args[-1:] if isinstance(x, torch.Tensor))
            assert source.device == META or (kwargs or {}).get("non_blocking"), "waits for a copy"
        return made


@pytest.fixture
def no_waiting(monkeypatch):
    """NoWaiting, in which no list of numbers becomes a tensor of the device either."""

    def guarded(make):
        def wrapped(*args, **kwargs):
            made = make(*args, **kwargs)
            assert made.device != META, "waits for a copy of numbers"
            return made

        return wrapped

    mode, plain = NoWaiting(), torch.tensor
    # Constants wait once, whenever they are first needed, and are kept from then on.
    monkeypatch.setattr(
        torch_utils, "_constant", lambda x, device, dtype: plain(x, device=device, dtype=dtype)
    )
    monkeypatch.setattr(torch, "tensor", guarded(torch.tensor))
    monkeypatch.setattr(torch, "as_tensor", guarded(torch.as_tensor))
    monkeypatch.setattr(torch.Tensor, "new_tensor", guarded(torch.Tensor.new_tensor))
    return mode


def runs() -> list[Run]:
    """The models of the default experiment, and the paper's StyleGAN2, on small colour images."""
    config = read_config(ROOT / "config.yaml")
    config["models"]["stylegan2"] = {
        "class": "baselines.stylegan2_ada:StyleGAN2ADA",
        "settings": {"preset": "stylegan2", "networks": {"latent_dim": 8, "w_dim": 8}},
    }
    config["claims"] = None
    return [
        replace(run, dataset=run.dataset.model_copy(update={"channels": 3}))
        for run in Plan(config).runs
    ]


@pytest.mark.parametrize("run", runs(), ids=lambda run: run.model.name)
def test_a_step_and_a_sample_ask_for_no_number(run, request):
    with META:
        model = build_model(run)
    model.to(META)
    size = run.dataset.resolution
    for step in range(STEPS):
        # The first step makes what is kept for all others.
        with request.getfixturevalue("no_waiting") if step else nullcontext():
            losses = model.step(torch.rand(4, 3, size, size, device=META))
    assert all(loss.device == META for loss in losses.values())
    images = model.ema(torch.randn(4, model.latent_dim, device=META))
    assert images.shape == (4, 3, size, size)


@pytest.mark.parametrize("way", ["clean", "pytorch"])
def test_a_quick_score_asks_for_no_number_before_its_end(way, tmp_path, monkeypatch):
    about = tmp_path / "extractor.json"
    extractors.obtain("efficientnet_lite0-32px", None, about)
    real = np.random.default_rng(0).normal(size=(80, 1280)).astype(np.float32)
    with META:
        run = next(run for run in runs() if run.model.name == "fpa_residual")
        generator = build_model(run).ema
    with monkeypatch.context() as patch:
        # The network has one resize; its own are not what is looked at.
        patch.setattr(extractors.EXTRACTORS["efficientnet_lite0"], "resizes", ("clean", "pytorch"))
        space = Space("efficientnet_lite0-32px", way, "array")
        watch = QuickScore(real, space, about, generator.latent_dim, 70, 0, META)
    scores = watch.measure(generator)
    assert (scores.device, scores.shape, scores.dtype) == (META, (3,), torch.float64)
    with pytest.raises((RuntimeError, NotImplementedError)):
        watch(generator)


@pytest.fixture
def two_processes(monkeypatch):
    """This process as the first of two that torch makes believe in."""
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    # torch's own, which compares shapes across processes as it is made.
    monkeypatch.setattr(distributed, "data_parallel", lambda network: network)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["lightgan", "stylegan2_ada"])
def test_steps_of_several_processes_ask_the_device_for_nothing(name, two_processes, request):
    (run,) = (run for run in runs() if run.model.name == name)
    images = np.zeros((16, 3, *2 * [run.dataset.resolution]), np.uint8)
    training = Training(run, EpochSampler(images, 8, 0), "", META, log_every=100)
    # The first step makes what is kept for all others.
    training.advance()
    with request.getfixturevalue("no_waiting"):
        for _ in range(2):
            # As the loop does: a step, its losses' means, and whether to stop.
            training.advance()
            assert not distributed.broadcast_flag(False)
    assert training.step == 3
    assert distributed.world_size() == 2


def test_processes_on_gpus_talk_of_anything_but_tensors_from_host_to_host(monkeypatch):
    asked = []
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: asked.append(backend))
    distributed.init(torch.device("cuda", 0))
    assert asked == ["cpu:gloo,cuda:nccl"]


def test_margins_that_nobody_asks_the_device_for_are_wide_enough():
    matrices = torch.eye(3).repeat(4, 1, 1)
    matrices[:, :2, 2] = torch.tensor([[0.0, 0], [5, -3], [-40, 2], [300, -300]])
    tight = _margins(matrices, 16, 16, 3)
    assert all(a <= b for a, b in zip(tight, _margins(matrices.to(META), 16, 16, 3), strict=True))
