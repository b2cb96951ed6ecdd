"""The prepared data set: one uint8 array of shape (N, C, H, W) and a manifest beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, computed_field

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import load_array, read_record
from fpa.core.lazy import np
from fpa.data.readers import kinds
from fpa.data.sources import DatasetSpec, difference


class SourceRecord(BaseModel):
    """Where prepared images came from."""

    name: str
    kind: str
    """What was read: folder, zip, tar, lmdb, or what a reader of its own says."""
    files_sha256: str
    """Digest of the files' names and bytes: the same for a zip, a tar and a folder of them."""
    stamp: str | None = None
    """Digest of the files' names, sizes and times."""
    file: str | None = None
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    """The archive's name, size and published digest, where the source is one file."""


class LeftOut(BaseModel):
    """A file of the source that is not among the images."""

    name: str
    reason: str


class Duplicates(BaseModel):
    """Images that are there more than once, to the bit."""

    files: int
    images: int
    groups: list[list[str]]


class Manifest(BaseModel):
    """All that is needed to understand and check a prepared data set."""

    dataset: DatasetSpec
    count: int
    source: SourceRecord
    images_sha256: str
    names: list[str]
    unreadable: list[LeftOut]
    ignored: list[LeftOut]
    duplicates: Duplicates
    stages: dict[str, int]
    versions: dict[str, str]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def not_taken(self) -> dict[str, int]:
        """How many files are not among the images, of each kind."""
        return kinds((entry.name, entry.reason) for entry in [*self.unreadable, *self.ignored])

    def as_json(self) -> dict[str, Any]:
        """As it is written."""
        source = self.source.model_dump(exclude_none=True)
        return {**self.model_dump(), "dataset": self.dataset.as_json(), "source": source}


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest in a prepared data set's folder; UserError when there is none."""
    path = Path(folder) / artifacts.MANIFEST
    wrong = f"does not describe a prepared data set; delete {folder} to prepare it again"
    return read_record(Manifest, path, wrong, made_by="python -m fpa prepare")


def open_store(folder: str | Path) -> tuple[np.memmap, Manifest]:
    """A prepared data set: its images (N, C, H, W) uint8, memory-mapped, and its manifest."""
    manifest = read_manifest(folder)
    path = Path(folder) / artifacts.IMAGES
    images: np.memmap = load_array(path, mmap_mode="r")
    size = manifest.dataset.resolution
    expected = (manifest.count, manifest.dataset.channels, size, size)
    if images.dtype != np.uint8 or images.shape != expected:
        raise UserError(
            f"{path} does not match its manifest (found {images.dtype} {images.shape}, expected "
            f"uint8 {expected}); delete {folder} and prepare it again"
        )
    return images, manifest


def check_dataset(manifest: Manifest, dataset: DatasetSpec, folder: str | Path) -> None:
    """UserError unless a folder's manifest is of this data set, whatever both are called."""
    if other := difference(manifest.dataset, dataset):
        raise UserError(
            f"{folder} holds another data set than {dataset.name}: {manifest.dataset.name} with "
            f"{other}; name another folder"
        )


def image_digest(image: np.ndarray) -> str:
    """SHA-256 (hex) of one image's pixels (C, H, W)."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def images_digest(digests: Iterable[str]) -> str:
    """The digest of a whole data set: SHA-256 (hex) of its images' digests, in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def verify(folder: str | Path) -> Manifest:
    """Check every byte of a prepared data set against its manifest, and return the manifest.

    UserError when they differ.
    """
    images, manifest = open_store(folder)
    path, names = Path(folder) / artifacts.IMAGES, manifest.names
    size, expected = path.stat().st_size, images.offset + images.nbytes
    if size != expected:
        wrong = f"{path} has {size:,} bytes, expected {expected:,}"
    elif (found := images_digest(map(image_digest, images))) != manifest.images_sha256:
        wrong = (
            f"{path} has the digest {found[:12]}..., its manifest says "
            f"{manifest.images_sha256[:12]}..."
        )
    elif len(names) != manifest.count or len(set(names)) != len(names):
        wrong = (
            f"{Path(folder) / artifacts.MANIFEST} names {len(set(names)):,} images and counts "
            f"{manifest.count:,}"
        )
    else:
        return manifest
    raise UserError(f"{wrong}; delete {folder} and prepare it again")
