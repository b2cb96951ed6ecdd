"""Images -> features, once for each image set, kept with the name of what made them.

Features are one .npy array (N, d), read by memory mapping, and a .json beside it that says what
they are. Where torch-fidelity made them, class logits stand behind the first `features` columns.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from fpa.common.errors import UserError
from fpa.common.files import atomic_path, load_array, read_json, write_json
from fpa.evaluation import cross_check as second
from fpa.evaluation.extractors import Extractor
from fpa.evaluation.extractors import load as load_extractor
from fpa.evaluation.protocols import Space

BATCH = 64


class Features(NamedTuple):
    """A set of features and what made it."""

    values: np.ndarray
    """(N, d), mapped into memory."""
    logits: np.ndarray | None
    """(N, classes) where there are any."""
    about: dict[str, Any]


def as_stored(image: np.ndarray, kind: str) -> np.ndarray:
    """An image (C, H, W) uint8, C 1 or 3 -> (H, W, 3) as a file of this format gives it back.

    JPEG as torchvision's save_image writes it (Pillow's quality 75, 4:2:0), grey in three channels.
    """
    pixels = np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))
    if kind != "jpeg":
        # PNG loses nothing.
        return pixels
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return np.asarray(Image.open(file))


def compute(
    images: np.ndarray,
    space: Space,
    extractor: str | Path,
    device: torch.device,
    out: Path,
    about: dict[str, Any],
    progress: Callable[[int], None] = lambda n: None,
) -> None:
    """Write the features of uint8 images (N, C, H, W), C 1 or 3, to `out` and its .json.

    extractor: what `extractors.obtain` wrote. Memory does not grow with N, but for torch-fidelity's.
    """
    if space.resize == "torch_fidelity":
        network = second.Extraction(extractor, device)
        blocks: Iterator[np.ndarray] = iter(
            [network.features(images, lambda image: as_stored(image, space.format), progress)]
        )
    else:
        network = load_extractor(extractor, space.resize, device)
        blocks = _blocks(images, network.features, space.format, progress)
    with atomic_path(out) as temporary:
        array, start = None, 0
        for block in blocks:
            if array is None:
                array = np.lib.format.open_memmap(
                    temporary, "w+", np.float32, (len(images), block.shape[1])
                )
            array[start : start + len(block)] = block
            start += len(block)
        array.flush()
    write_json(
        describing(out),
        {**about, **network.identity, "format": space.format, "features": network.size},
    )


def extract(images: np.ndarray, network: Extractor) -> np.ndarray:
    """uint8 images (B, C, H, W) as they are -> features (B, d) float32."""
    return network.features(np.stack([as_stored(image, "array") for image in images]))


def _blocks(
    images: np.ndarray,
    extract: Callable[[np.ndarray], np.ndarray],
    kind: str,
    progress: Callable[[int], None],
) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        yield extract(np.stack([as_stored(image, kind) for image in batch]))
        progress(len(batch))


def describing(path: str | Path) -> Path:
    """The .json beside a feature array."""
    return Path(path).with_suffix(".json")


def load(path: str | Path) -> Features:
    """Features and their description; UserError when they are missing or broken."""
    about = read_json(describing(path), made_by="python -m fpa features")
    array = load_array(path, mmap_mode="r")
    size = about.get("features")
    if array.ndim != 2 or not isinstance(size, int) or array.shape[1] < size:
        raise UserError(f"{path} holds no features; delete it and run again")
    logits = array[:, size:] if array.shape[1] > size else None
    return Features(array[:, :size], logits, about)
