"""One training in several processes, each with a share of every batch, that compute what one would.

Every process draws the random numbers of the whole batch from the same state and takes its own
rows; gradients are averaged by DistributedDataParallel; batch statistics are taken over all
processes. So the weights, the random state and with them a checkpoint do not depend on the number
of processes. Outside a process group everything here is what torch does without this module.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = datetime.timedelta(hours=2)
"""Longest that processes wait for each other: the first one scores while the others do."""

_single = False


def init(device: torch.device) -> None:
    """Join the processes that torchrun, or fpa.runs.processes, has started for this training."""
    # Answers and objects go from host to host: for them, no GPU is waited for.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)


def shut_down() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """The number of processes that share a batch."""
    return dist.get_world_size() if dist.is_initialized() and not _single else 1


def rank() -> int:
    """This process's place among them, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def single_process() -> Iterator[None]:
    """A part that one process does without the others."""
    global _single
    before, _single = _single, True
    try:
        yield
    finally:
        _single = before


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()


# Random numbers and rows --------------------------------------------------------------------


def shard(whole: Any) -> Any:
    """This process's rows of a whole batch."""
    share = len(whole) // world_size()
    return whole[rank() * share : (rank() + 1) * share]


def randn(rows: int, *shape: int, device: torch.device | None = None) -> Tensor:
    """(rows, *shape) standard normal: own rows of what one process would draw for all."""
    return shard(torch.randn(rows * world_size(), *shape, device=device))


def rand(rows: int, *shape: int, device: torch.device | None = None) -> Tensor:
    """(rows, *shape) uniform in [0, 1), likewise."""
    return shard(torch.rand(rows * world_size(), *shape, device=device))


def randn_like(x: Tensor) -> Tensor:
    """Standard normal in the shape of a batch, on its device."""
    return shard(torch.randn(len(x) * world_size(), *x.shape[1:], device=x.device, dtype=x.dtype))


# Sums over processes ------------------------------------------------------------------------


class _AllReduce(torch.autograd.Function):
    """The sum over all processes; as every process has it, so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _AllReduce.apply(gradient)


def all_reduce(x: Tensor) -> Tensor:
    """The sum of x over all processes; can be differentiated any number of times."""
    return _AllReduce.apply(x) if world_size() > 1 else x


def all_reduce_mean(x: Tensor) -> Tensor:
    return all_reduce(x) / world_size() if world_size() > 1 else x


def all_gather(x: Tensor) -> Tensor:
    """All processes' rows (N, ...) -> (N * world, ...), in the order of the whole batch."""
    if world_size() == 1:
        return x
    before, after = rank() * len(x), (world_size() - 1 - rank()) * len(x)
    rest = x.shape[1:]
    return all_reduce(torch.cat([x.new_zeros(before, *rest), x, x.new_zeros(after, *rest)]))


def all_reduce_means(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scalars by name, each averaged over all processes, in one message."""
    if world_size() == 1:
        return dict(values)
    together = all_reduce_mean(torch.stack([value.detach() for value in values.values()]))
    return dict(zip(values, together.unbind(), strict=True))


def broadcast_object(make: Callable[[], Any]) -> Any:
    """What the first process makes, without the others, for all."""
    if world_size() == 1:
        return make()
    made = [None]
    if rank() == 0:
        with single_process():
            made = [make()]
    dist.broadcast_object_list(made, src=0)
    return made[0]


def broadcast_flag(yes: bool) -> bool:
    """The first process's answer, for all: cheap enough for every step, as only hosts wait."""
    if world_size() == 1:
        return yes
    answer = torch.tensor(yes, dtype=torch.uint8, device="cpu")
    dist.broadcast(answer, src=0)
    return bool(answer)


# Networks -----------------------------------------------------------------------------------


def data_parallel(network: nn.Module) -> nn.Module:
    """The network to train by: its gradients are the whole batch's. Its state stays its own.

    Every parameter that requires gradients must get one, be it zero, in each backward pass.
    """
    if world_size() == 1:
        return network
    # Buffers are equal in all processes, as everything that they are computed from is.
    return DistributedDataParallel(network, broadcast_buffers=False)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm over all processes' images, on every backend (torch's own needs a GPU)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        count = x.numel() // x.shape[1] * world_size()
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]
