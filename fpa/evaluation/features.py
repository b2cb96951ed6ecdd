"""Images -> features, computed once for each set of images and described by what made them.

Features are one .npy array (N, d), read by memory mapping, and a .json beside it that describes
them. Class logits, which torch-fidelity's spaces have, are columns behind the features. Reading
features imports no torch.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, JsonValue

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import (
    atomic_path,
    file_digest,
    load_array,
    locked,
    new_array,
    read_json,
    read_record,
    write_json,
)
from fpa.core.lazy import LazyModule, torch
from fpa.core.progress import Progress
from fpa.core.provenance import STAGES
from fpa.data.picture import open_picture
from fpa.data.store import open_store
from fpa.evaluation.extractors import Extractor, ExtractorInfo
from fpa.evaluation.extractors import load as load_extractor
from fpa.evaluation.image_sets import check_images
from fpa.evaluation.protocols import CHECK, Space
from fpa.evaluation.sampling import described

if TYPE_CHECKING:
    from fpa.evaluation.cross_check import Extraction

# torch-fidelity takes a second to import; clean-fid's spaces do without it.
cross_check = LazyModule("fpa.evaluation.cross_check")


class FeatureInfo(BaseModel):
    """What made a set of features: the .json beside them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    extractor: str | None = None
    weights_sha256: str | None = None
    resize: str | None = None
    format: str | None = None
    features: int | None = None
    """d"""
    images_sha256: str | None = None
    count: int | None = None
    """Images, where these are the first of a file that has more."""
    not_finite: int = 0
    """Of the images, those that stand for what is not an image."""
    stages: dict[str, int] = {}
    """The version of each stage that had a part in them."""
    run: str | None = None
    """Digest of the run that the images were sampled from, where that is known."""
    checkpoint: str | None = None
    which: str = "ema"
    """Of that run: the checkpoint, and the network."""
    name: str | None = None
    """Of the images, in a reference."""
    image_size: int | None = None
    """Height of the images (px), in a reference."""

    def as_json(self) -> dict[str, JsonValue]:
        """What its file holds: the fields that were given."""
        return self.model_dump(mode="json", exclude_unset=True)


class Features(NamedTuple):
    """A set of features and what made it."""

    values: np.ndarray
    """(N, d), mapped into memory."""
    logits: np.ndarray | None
    """(N, classes) where there are any."""
    info: FeatureInfo


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
    return np.asarray(open_picture(file.getvalue()))


def compute(
    images: np.ndarray,
    space: Space,
    extractor: str | Path,
    device: torch.device,
    out: Path,
    metadata: Mapping[str, JsonValue],
    progress: Callable[[int], None] = lambda n: None,
    not_finite: Sequence[int] = (),
    logits: bool = True,
) -> None:
    """Write the features of uint8 images (N, C, H, W), C 1 or 3, to `out` and its .json.

    metadata: what is known of the images, `images_sha256` at least. not_finite: the places of images that
    stand for what is not an image; their features are NaN. logits: whether to keep class logits, where there are any. extractor: the file that
    `extractors.obtain` wrote. Memory does not grow with N.
    """
    network: Extractor | Extraction
    if space.resize == CHECK:
        network = cross_check.Extraction(extractor, device)
    else:
        network = load_extractor(extractor, space.resize, device)
    blocks = network.blocks(images, partial(as_stored, kind=space.format), progress)
    of_images = FeatureInfo.model_validate(metadata)
    about = of_images.model_copy(
        update={
            **network.identity,
            "stages": {**of_images.stages, "features": STAGES["features"]},
            "format": space.format,
            "features": network.size,
            "not_finite": len(not_finite),
        }
    ).as_json()
    beside = artifacts.describing(out)
    if out.exists() and beside.exists() and read_json(beside) == about:
        # Another working directory may have made it meanwhile, and read it now.
        return
    with atomic_path(out) as temporary:
        array, start = None, 0
        for block in blocks:
            block = block if logits else block[:, : network.size]
            if array is None:
                array = new_array(temporary, np.float32, (len(images), block.shape[1]))
            array[start : start + len(block)] = block
            start += len(block)
        if array is not None:
            array[list(not_finite)] = np.nan
            array.flush()
    write_json(beside, about)


def compute_file(
    source: Path,
    space: Space,
    extractor: str | Path,
    device: torch.device,
    out: Path,
    count: int = 0,
) -> None:
    """Write the features of an image file (.npy) or of a prepared data set's folder to `out`.

    Those of a data set come without class logits.

    count: only the first so many images; 0 for all. UserError when there are no such images.
    """
    images: np.ndarray
    metadata: dict[str, Any]
    not_finite: list[int] = []
    if source.is_dir():
        images, manifest = open_store(source)
        metadata = {"images_sha256": manifest.images_sha256, "stages": manifest.stages}
    else:
        images = load_array(source, mmap_mode="r")
        # What the stage before says of the images; nothing of images that come from elsewhere.
        digest = file_digest(source)
        made_by = described(source, len(images) if images.ndim else 0, digest)
        metadata = {"images_sha256": digest, "stages": made_by.stages}
        if made_by.run:
            metadata |= made_by.model_dump(include={"run", "checkpoint", "which"})
        not_finite = made_by.not_finite
    check_images(images, source)
    network = ExtractorInfo.read(extractor)
    if network.name != space.extractor:
        raise UserError(
            f"{extractor} is of {network.name}, but the feature space {space} of {space.extractor}; "
            f"name one of {network.name} by --space, or another extractor"
        )
    if count:
        if count > len(images):
            raise UserError(f"{source} holds {len(images):,} images, not {count:,}")
        images, metadata = images[:count], {**metadata, "count": count}
        not_finite = [place for place in not_finite if place < count]
    bar = Progress(len(images), f"features of {'/'.join(source.parts[-2:])}", "images")
    shared = source.is_dir()
    room = out.with_name(f".{out.name}.part")
    with locked(room, f"computing {out}", wait=True) if shared else nullcontext():
        # Only the logits of samples are used: by the Inception Score.
        compute(images, space, extractor, device, out, metadata, bar.update, not_finite, not shared)
        if shared:
            shutil.rmtree(room)
    bar.close()


def of_store(
    store: Path, space: Space, extractor: str | Path, device: torch.device, path: Path
) -> Features:
    """The features of a prepared data set's images in a file, which is made if it is not there."""
    if not path.exists():
        compute_file(store, space, extractor, device, path)
    return load_of_store(path, store)


def load_of_store(path: str | Path, store: Path) -> Features:
    """Features from their file; UserError unless they are those of a data set's images, all of them."""
    found, manifest = load(path), open_store(store)[1]
    if found.info.images_sha256 != manifest.images_sha256 or len(found.values) != manifest.count:
        raise UserError(
            f"{path} has features of other images than {store} holds; delete it and run again"
        )
    return found


def load(path: str | Path) -> Features:
    """Features and their description; UserError when they are missing or broken."""
    wrong = "does not describe features; delete it and run again"
    made_by = "python -m fpa features"
    info = read_record(FeatureInfo, artifacts.describing(path), wrong, made_by)
    array, size = load_array(path, mmap_mode="r"), info.features
    if array.ndim != 2 or size is None or array.shape[1] < size:
        raise UserError(f"{path} holds no features; delete it and run again")
    logits = array[:, size:] if array.shape[1] > size else None
    return Features(array[:, :size], logits, info)
