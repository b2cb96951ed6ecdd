"""The prepared data set: one uint8 array of shape (N, C, H, W) and a manifest beside it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import load_array, read_json


def open_store(folder: str | Path) -> tuple[np.memmap, dict[str, Any]]:
    """A prepared data set: its images (N, C, H, W) uint8, memory-mapped, and its manifest."""
    folder = Path(folder)
    manifest = read_json(folder / artifacts.MANIFEST, made_by="python -m fpa prepare")
    images: np.memmap = load_array(folder / artifacts.IMAGES, mmap_mode="r")
    dataset = manifest["dataset"]
    size = dataset["resolution"]
    expected = (manifest["count"], dataset["channels"], size, size)
    if images.dtype != np.uint8 or images.shape != expected:
        raise UserError(
            f"{folder / artifacts.IMAGES} does not match its manifest (found {images.dtype} "
            f"{images.shape}, expected uint8 {expected}); delete {folder} and prepare it again"
        )
    return images, manifest


def image_digest(image: np.ndarray) -> str:
    """SHA-256 (hex) of one image's pixels (C, H, W)."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def images_digest(digests: Iterable[str]) -> str:
    """The digest of a whole data set: SHA-256 (hex) of its images' digests, in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def verify(folder: str | Path) -> dict[str, Any]:
    """Check every byte of a prepared data set against its manifest, and return the manifest.

    UserError when they differ.
    """
    folder = Path(folder)
    images, manifest = open_store(folder)
    size, expected = (folder / artifacts.IMAGES).stat().st_size, images.offset + images.nbytes
    if size != expected:
        raise UserError(
            f"{folder / artifacts.IMAGES} has {size:,} bytes, expected {expected:,}; "
            f"delete {folder} and prepare it again"
        )
    names = manifest["names"]
    found = images_digest(image_digest(image) for image in images)
    if found != manifest["images_sha256"]:
        raise UserError(
            f"{folder / artifacts.IMAGES} has the digest {found[:12]}..., its manifest says "
            f"{manifest['images_sha256'][:12]}...; delete {folder} and prepare it again"
        )
    if len(names) != manifest["count"] or len(set(names)) != len(names):
        raise UserError(
            f"{folder / artifacts.MANIFEST} names {len(set(names)):,} images and counts "
            f"{manifest['count']:,}; delete {folder} and prepare it again"
        )
    return manifest
