"""Snapshots of a training: at quick scores, the EMA generator's images of the same few latents.

They are kept in one small file of the run, from which the status page and the film of the training
are made. At most MOST of them are kept, however long the training.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fpa.core.errors import one_line
from fpa.core.files import load_array, save_npz
from fpa.core.progress import log

MOST = 32
"""Snapshots of a training."""


def is_due(step: int, steps: int, every: int) -> bool:
    """Whether a quick score, one after `every` steps, comes with a snapshot.

    At first, every one does; a long training has one at every second, third, ... and the last.
    """
    scores = steps // every + 1
    spacing = -(-scores // (MOST - 1))
    return step == steps or step % (every * spacing) == 0


class Film:
    """The snapshots of one training, in memory and in its file.

    The file holds `images` uint8 (F, N, C, H, W), and of each snapshot `step`, `kimg` and `fid` (F,).
    """

    def __init__(self, path: Path, step: int) -> None:
        """Go on from the snapshots of the file, up to a step."""
        self.path, self._warned = path, False
        self.frames: list[dict[str, np.ndarray]] = []
        self.cut(step, _read(path))

    def cut(self, step: int, frames: list[dict[str, np.ndarray]] | None = None) -> None:
        """Forget the snapshots after a step: the training has gone back to it."""
        frames = self.frames if frames is None else frames
        self.frames = [frame for frame in frames if frame["step"] <= step]

    def add(self, row: Mapping[str, float], images: np.ndarray) -> None:
        """Add the images of a history row, and write the file; a failure costs a warning."""
        self.cut(int(row["step"]) - 1)
        numbers = {key: np.asarray(row[key]) for key in ("step", "kimg", "fid")}
        # Another version may have kept other images.
        same = [frame for frame in self.frames if frame["images"].shape == images.shape]
        self.frames = [*same, {**numbers, "images": images}]
        arrays = {key: np.stack([frame[key] for frame in self.frames]) for key in self.frames[0]}
        try:
            save_npz(self.path, **arrays)
        except Exception as error:
            # Whatever it is, the training is worth more.
            if not self._warned:
                log.warning("%s; the training goes on without its snapshots", one_line(error))
            self._warned = True


def _read(path: Path) -> list[dict[str, np.ndarray]]:
    if not path.exists():
        return []
    try:
        with load_array(path) as found:
            arrays = {key: found[key] for key in ("step", "kimg", "fid", "images")}
        return [
            {key: array[i] for key, array in arrays.items()} for i in range(len(arrays["step"]))
        ]
    except Exception as error:
        # zipfile, zlib and NumPy each have their own words for a damaged file.
        log.warning("%s cannot be read (%s); its snapshots are lost", path, one_line(error))
        return []
