"""Endless batches of a prepared data set, in an order that a resumed training continues."""

import numpy as np

from fpa.core.errors import UserError


class EpochSampler:
    """Which of the images (N, C, H, W) uint8 make a batch; reshuffled each epoch, no short last batch.

    The order of an epoch depends on the seed and the epoch alone.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int) -> None:
        if batch_size > len(images):
            raise UserError(
                f"batch_size {batch_size} is larger than the data set ({len(images)} images); "
                "choose a smaller batch"
            )
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.epoch, self.position = 0, 0
        self._order = self._shuffle()

    def _shuffle(self) -> np.ndarray:
        return np.random.default_rng((self.seed, self.epoch)).permutation(len(self.images))

    def next_rows(self) -> np.ndarray:
        """The places (B,) of the next batch's images; the sampler moves on."""
        if self.position + self.batch_size > len(self.images):
            self.epoch, self.position = self.epoch + 1, 0
            self._order = self._shuffle()
        chosen: np.ndarray = self._order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return chosen

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
        self._order = self._shuffle()
