"""What a model costs: parameters, multiply-adds for one image, measured images per second, bytes on disk."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fpa.core import provenance
from fpa.models.interface import Model, StartsOthers
from fpa.models.loading import shapes_only
from fpa.runs.execution import Execution
from fpa.runs.folder import Cost
from fpa.runs.run import Run, build_model

COUNTED_BATCH = 2
"""Images that multiply-adds are counted on; a minibatch deviation needs more than one."""
WINDOW_STEPS = 16
"""Steps between two looks at the clock: whole rounds of penalties that come every 4th or 16th."""

WARM_STEPS = 4
"""Steps before the clock runs: one with penalties is among them."""

MOST_REPEATS = 32
"""Repeats that are timed: the median of more is no better."""


def _triangular_solve(matrix: tuple[int, ...], right: tuple[int, ...], **_: Any) -> int:
    """FLOPs of T x T systems: a multiplication and an addition for each entry below the diagonal."""
    return torch.Size(right).numel() * matrix[-1]


FORMULAS = {torch.ops.aten.linalg_solve_triangular: _triangular_solve}
"""What torch's own counter leaves out and the painters use."""


def multiply_adds(network: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of convolutions and matrix products in one call, per item of the batch.

    Element-wise operations, normalisations and resampling by copying are not counted, as is usual.
    Pass network and inputs (B, ...) on the meta device: there, fused kernels (an LSTM's) fall apart
    into the matrix products that they stand for, and nothing is computed.
    """
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter, torch.no_grad():
        network(*inputs)
    return counter.get_total_flops() // (2 * len(inputs[0]))


def parameters(network: nn.Module | None) -> int | None:
    """Entries of all parameters, frozen ones too; None without a network."""
    return None if network is None else sum(p.numel() for p in network.parameters())


def count(run: Run) -> dict[str, int | None]:
    """Parameters, and multiply-adds for one image, of a run's generator and discriminator, from shapes.

    By their names in `Cost`. None of a discriminator that is not called with images alone, or not there.
    """
    with shapes_only():
        model = build_model(run)
        z = torch.zeros(COUNTED_BATCH, model.latent_dim)
        images = torch.zeros(COUNTED_BATCH, *run.image_shape)
        discriminator = model.networks.get("discriminator")
        try:
            judged = multiply_adds(discriminator, images) if discriminator else None
        except TypeError:
            judged = None
        return {
            "generator_parameters": parameters(model.ema),
            "discriminator_parameters": parameters(discriminator),
            "generator_multiply_adds": multiply_adds(model.ema, z),
            "discriminator_multiply_adds": judged,
        }


def cost_of(
    run: Run, device: torch.device, seconds: float, execution: Execution = Execution()
) -> Cost:
    """A run's cost: its size, and images per second in training steps and in sampling.

    Each is measured for about `seconds`: longer where 16 steps take longer, for less time where a
    few dozen repeats take less.

    Training is the model's own step on random images at the run's batch size, without data set,
    checkpoints and quick scores; sampling is the EMA generator at that batch size.
    """
    torch.manual_seed(run.seed)
    model: Model = build_model(run)
    model.to(device)
    batch_size = run.training.batch_size
    shape = (batch_size, *run.image_shape)
    real = torch.rand(shape).to(device)
    execution = execution.prepare(model, shape, device)

    def train(steps: int = WINDOW_STEPS) -> None:
        for _ in range(steps):
            with execution.step(device):
                model.step(real.clone())

    @torch.inference_mode()
    def sample() -> None:
        model.ema(torch.randn(batch_size, model.latent_dim).to(device))

    train(WARM_STEPS)
    sample()
    return Cost(
        dataset=run.dataset.name,
        resolution=run.dataset.resolution,
        model=run.model.name,
        kimg=run.training.kimg,
        **count(run),
        training_images_per_second=WINDOW_STEPS * batch_size / _typical(train, device, seconds),
        sampling_images_per_second=batch_size / _typical(sample, device, seconds),
        batch_size=batch_size,
        hardware=provenance.hardware(device, torch.get_num_threads()),
        **execution.record(),
        versions=provenance.versions(),
    )


def summary_line(cost: Cost) -> str:
    """The most important numbers of a cost, for the log."""
    return (
        f"{cost.model} on {cost.dataset}: {cost.generator_parameters:,} generator "
        f"parameters, {cost.training_images_per_second:.4g} images/s in training, "
        f"{cost.sampling_images_per_second:.4g} in sampling"
    )


def _typical(work: Callable[[], None], device: torch.device, seconds: float) -> float:
    """Median time of `work`, repeated until `seconds` are over: once at least, at most MOST_REPEATS times."""
    times: list[float] = []
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda device: None
    synchronise(device)
    while not times or (sum(times) < seconds and len(times) < MOST_REPEATS):
        started = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def bytes_on_disk(run: Run) -> tuple[int, int]:
    """(bytes of a finished run, bytes of a checkpoint), from its model's shapes."""

    def size(tensors: object) -> int:
        if isinstance(tensors, torch.Tensor):
            return tensors.numel() * tensors.element_size()
        return sum(map(size, tensors.values())) if isinstance(tensors, dict) else 0

    with shapes_only():
        model = build_model(run)
    networks = {name: size(network.state_dict()) for name, network in model.networks.items()}
    moments = {name: 2 * bytes_ for name, bytes_ in networks.items() if name != "ema"}
    started: dict[str, int] = {}
    if isinstance(model, StartsOthers):
        for name in model.start_for_others():
            network, _, what = name.partition("_")
            started[name] = moments[network] if what == "optimizer" else networks.get(name, 0)
    best = networks.get("ema", 0) + sum(started.values()) if run.training.watch_kimg else 0
    finished = sum({**networks, **started}.values()) + best
    return finished, sum(networks.values()) + sum(moments.values()) + best
