"""The prepared data set: one uint8 array of shape (N, C, H, W) and a manifest beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fpa import provenance
from fpa.data.catalogue import read_source
from fpa.errors import UserError
from fpa.files import atomic_open, file_digest, load_array, read_json, write_json

FILTERS = {f.name.lower(): f for f in Image.Resampling}
MODES = {1: "L", 3: "RGB"}


def resize_and_crop(picture: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """Short side to `size` (antialiased), then the centre square; sizes as torchvision rounds them."""
    width, height = picture.size
    short = min(width, height)
    if short != size:
        new = (int(size * width / short), int(size * height / short))
        picture = picture.resize(new, resample)
    width, height = picture.size
    left, top = round((width - size) / 2), round((height - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def prepare(dataset: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write a data set's images to `folder` and return the manifest.

    dataset: name, source, resolution, channels, filter. Nothing is left half-written: the manifest
    comes last, and each file appears whole.
    """
    size, channels = dataset["resolution"], dataset["channels"]
    resample = FILTERS[dataset["filter"]]
    count, pictures, source = read_source(dataset["source"])
    images = np.empty((count, channels, size, size), np.uint8)
    names = []
    for i, (name, picture) in enumerate(pictures):
        fitted = resize_and_crop(picture.convert(MODES[channels]), size, resample)
        images[i] = np.asarray(fitted).reshape(size, size, channels).transpose(2, 0, 1)
        names.append(name)
    with atomic_open(folder / "images.npy") as file:
        np.save(file, images)
    manifest = {
        "dataset": dict(dataset),
        "count": count,
        "source": source,
        "images_sha256": file_digest(folder / "images.npy"),
        "names": names,
        "versions": provenance.versions(),
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def open_store(folder: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """A prepared data set: its images (N, C, H, W) uint8, memory-mapped, and its manifest."""
    folder = Path(folder)
    manifest = read_json(folder / "manifest.json", made_by="python -m fpa prepare")
    images = load_array(folder / "images.npy", mmap_mode="r")
    expected = (manifest["count"], manifest["dataset"]["channels"])
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:2] != expected:
        raise UserError(
            f"{folder / 'images.npy'} does not match its manifest "
            f"(found {images.dtype} {images.shape}); delete {folder} and prepare it again"
        )
    return images, manifest
