"""Sets of images as anybody keeps them: an array, a .npy file, or image files in a folder or archive."""

import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fpa.core import artifacts
from fpa.core.errors import UserError, one_line
from fpa.core.files import load_array
from fpa.core.progress import log
from fpa.data.image_kinds import START, kind_of
from fpa.data.picture import read_picture
from fpa.data.readers import Found, Reader, in_words, kinds, list_images, open_path
from fpa.data.store import image_digest, images_digest, open_store


class ImageFiles(Sequence[np.ndarray]):
    """Image files of one size, read when they are asked for: RGB, in the order of their names.

    A number gives uint8 (3, H, W), a slice (B, 3, H, W). UserError for a file that cannot be read,
    has another size than the first one, or is not JPEG (or is) where the first one is (or is not).
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, reader: Reader, found: Sequence[Found]) -> None:
        self.path, self._reader, self._found = path, reader, found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, places: Any) -> Any:
        if isinstance(places, slice):
            chosen = [self[place] for place in range(*places.indices(len(self)))]
            return np.stack(chosen) if chosen else np.empty((0, *self.shape[1:]), np.uint8)
        pixels, jpeg = self._read(places)
        if pixels.shape != self.shape[1:]:
            raise UserError(
                f"{self._name(places)} is {_size(pixels.shape)}, but {self._name(0)} is "
                f"{_size(self.shape[1:])}; bring all images to one size"
            )
        if jpeg != self.jpeg:
            raise UserError(
                f"{self.path} mixes JPEG and other files ({self._name(0)} and "
                f"{self._name(places)}), which scores tell apart; save all in one format"
            )
        return pixels

    @cached_property
    def _first(self) -> tuple[np.ndarray, bool]:
        return self._read(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, H, W)"""
        return (len(self), *self._first[0].shape)

    def first(self, count: int) -> "ImageFiles":
        return ImageFiles(self.path, self._reader, self._found[:count])

    @property
    def jpeg(self) -> bool:
        """Whether the files have gone through JPEG's compression already."""
        return self._first[1]

    def _name(self, place: int) -> str:
        return f"{self.path}/{self._found[place].name}"

    def _read(self, place: int) -> tuple[np.ndarray, bool]:
        found = self._found[place]
        try:
            if found.problem:
                raise ValueError(found.problem)
            data = self._reader.read(found.place)
            pixels = np.asarray(read_picture(data, "RGB")).transpose(2, 0, 1)
        # Pillow raises what its many formats raise.
        except Exception as error:
            raise UserError(
                f"cannot read {self._name(place)}: {error}; replace or remove it"
            ) from error
        return pixels, kind_of(data[:START]) == "JPEG"


def open_images(source: Any) -> Any:
    """Images (N, C, H, W) uint8, C 1 or 3, with `len`, `shape`, and slices that are arrays.

    source: such an array, a .npy file of one, a prepared data set's folder, or a folder, zip or tar
    of image files of one size. UserError for anything else.
    """
    images: np.ndarray
    if isinstance(source, ImageFiles):
        return source
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if not path.exists():
            raise UserError(f"there are no images at {path}; name a folder, archive or .npy file")
        if (path / artifacts.MANIFEST).exists():
            images, _ = open_store(path)
        elif path.suffix == ".npy":
            images = load_array(path, mmap_mode="r")
        else:
            return _open_files(path)
        where = str(path)
    else:
        images, where = as_array(source, "images"), "images"
    check_images(images, where)
    return images


def as_array(found: Any, name: str) -> np.ndarray:
    """An array, a tensor or nested lists as an array; UserError, beginning with the name, for what is
    none."""
    if np.ma.is_masked(found):
        raise UserError(
            f"{name}: expected an array, found one with masked values; fill or drop them"
        )
    try:
        # A tensor may be on a GPU, or have a gradient.
        return np.asarray(found.detach().cpu() if hasattr(found, "detach") else found)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{name}: expected an array, found {one_line(error)}") from error


def check_images(images: np.ndarray, where: object) -> None:
    """UserError, beginning with `where`, unless an array is of images (N, C, H, W) uint8, C 1 or 3."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8:
        hint = ""
        if images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
            hint = "; write images.transpose(0, 3, 1, 2) where the channels are last"
        elif images.dtype.kind == "f":
            hint = "; write (images * 255 + 0.5).astype('uint8') where they are from 0 to 1"
        raise UserError(
            f"{where}: found {images.dtype} {images.shape}, expected uint8 (N, 1 or 3, H, W) with "
            f"values from 0 to 255{hint}"
        )
    if not images.size:
        raise UserError(f"{where}: there are no images in {images.dtype} {images.shape}")


def _open_files(path: Path) -> ImageFiles:
    with tempfile.TemporaryDirectory() as scratch:
        # A compressed archive would be unwrapped there, and gone when it is read.
        reader = open_path(path, Path(scratch))
        if any(Path(scratch).iterdir()):
            raise UserError(f"{path} cannot be read in place; unpack it, or make it a zip")
    listing = list_images(reader)
    others = kinds((found.name, found.problem) for found in listing.ignored)
    if others:
        log.warning("%s: %d images; not taken: %s", path, len(listing.images), in_words(others))
    return ImageFiles(path, reader, listing.images)


def first(images: Any, count: int) -> Any:
    """The first so many images of what `open_images` gave."""
    return images.first(count) if isinstance(images, ImageFiles) else images[:count]


def content_digest(images: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) of images, the same that a prepared data set's manifest has of them."""
    return images_digest(image_digest(image) for image in images)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[-1]} x {shape[-2]} px"
