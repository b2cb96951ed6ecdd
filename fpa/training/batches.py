"""Batches on the device that trains: from its own memory where the images fit, else read ahead."""

import copy
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpa.core import distributed
from fpa.core.torch_utils import to_device
from fpa.data.sampler import EpochSampler

SHARE = 0.25
"""Share of a GPU's free memory that a data set may take, so that four trainings can share one."""
BLOCK = 4096
"""Images that are copied to the device at once."""


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU; 0 on other devices, which hold no images of their own."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


class Batches:
    """A feed's batches, float in [0, 1], (B, C, H, W): this process's rows, in the feed's order.

    Images that take at most SHARE of the device's free memory are copied there once. Of others, a
    thread reads the next batch from the host's memory map while this one trains.
    """

    def __init__(self, feed: EpochSampler, device: torch.device) -> None:
        self.feed, self.device = feed, device
        self.images: Tensor | None = None
        """All images (N, C, H, W) uint8 on the device, where they fit."""
        if feed.images.nbytes <= SHARE * free_memory(device):
            self.images = torch.empty(feed.images.shape, dtype=torch.uint8, device=device)
            for start in range(0, len(feed.images), BLOCK):
                block = np.array(feed.images[start : start + BLOCK])
                self.images[start : start + BLOCK] = torch.from_numpy(block)
        # A CPU trains with the threads that would read.
        ahead = self.images is None and device.type != "cpu"
        self.reader = ThreadPoolExecutor(1, "images") if ahead else None
        self._next: tuple[dict[str, Any], Future[Tensor]] | None = None
        """The feed's place that a batch was read ahead for, and the batch."""

    def next(self) -> Tensor:
        """The next batch; the feed moves on by it."""
        batch = self._read_ahead() if self.reader else self._on_device(self.feed.next_rows())
        return batch.float().div_(255)

    def _on_device(self, rows: np.ndarray) -> Tensor:
        rows = distributed.shard(rows)
        if self.images is None:
            return to_device(self._from_host(rows), self.device)
        return self.images.index_select(0, to_device(torch.from_numpy(rows), self.device))

    def _from_host(self, rows: np.ndarray) -> Tensor:
        batch = torch.from_numpy(self.feed.images[rows])
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def _read_ahead(self) -> Tensor:
        assert self.reader
        if self._next is None or self._next[0] != self.feed.state_dict():
            # The first batch, or the training has gone back to a checkpoint.
            self._submit()
        assert self._next
        batch = self._next[1].result()
        self.feed.next_rows()
        self._submit()
        return to_device(batch, self.device)

    def _submit(self) -> None:
        assert self.reader
        rows = distributed.shard(copy.copy(self.feed).next_rows())
        self._next = (self.feed.state_dict(), self.reader.submit(self._from_host, rows))
