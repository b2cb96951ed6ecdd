"""TensorBoard: an event file in the run's folder. `tensorboard --logdir results/runs` shows all runs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fpa.core.files import canonical_json
from fpa.training.loggers.base import Beginning, grid, numbers

FOLDER = "tensorboard"
"""In a run's folder."""


class TensorBoard:
    """Scalars and snapshots as events. A training that continues begins another file."""

    def __init__(self, beginning: Beginning) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder: Path = beginning.folder / FOLDER
        # What an earlier attempt logged behind its checkpoint, the reader drops.
        purge = beginning.step + 1 if beginning.step else None
        self.writer = SummaryWriter(str(folder), purge_step=purge)
        self.writer.add_text("run", f"```\n{canonical_json(beginning.run)}\n```", beginning.step)

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        step = int(row["step"])
        for name, value in numbers(row).items():
            self.writer.add_scalar(name, value, step)
        if images is not None:
            self.writer.add_image("snapshot", grid(images), step, dataformats="HWC")
        self.writer.flush()

    def close(self, state: str) -> None:
        self.writer.close()
