"""Images -> features, once for each image set, kept with the name of what made them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanfid.resize import make_resizer

from fpa.errors import UserError
from fpa.evaluation.extractors import Extractor
from fpa.files import load_array, save_npz
from fpa.progress import Progress

BATCH = 64


def compute(
    images: np.ndarray, extractor: Extractor, progress: Progress | None = None
) -> np.ndarray:
    """uint8 images (N, C, H, W), C 1 or 3 -> float32 features (N, d).

    Each image is resized once, straight to the network's input size, by clean-fid's own resizer
    (Pillow bicubic on float channels, not quantised); grey images fill all three channels.
    """
    size = extractor.input_size
    resize = make_resizer("PIL", False, "bicubic", (size, size))
    features = []
    for start in range(0, len(images), BATCH):
        batch = np.asarray(images[start : start + BATCH])
        if batch.shape[1] == 1:
            batch = np.repeat(batch, 3, axis=1)
        resized = np.stack([resize(image) for image in batch.transpose(0, 2, 3, 1)])
        features.append(extractor(torch.from_numpy(resized).permute(0, 3, 1, 2)).numpy())
        if progress:
            progress.update(len(batch))
    return np.concatenate(features)


def save(path: Path, features: np.ndarray, about: dict[str, Any]) -> None:
    """Keep features with a description: extractor and image set."""
    save_npz(path, features=features, about=np.array(json.dumps(about, sort_keys=True)))


def load(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The features (N, d) and their description."""
    with load_array(path) as file:
        if "features" not in file or "about" not in file:
            raise UserError(f"{path} holds no features; delete it and run again")
        return file["features"], json.loads(str(file["about"]))
