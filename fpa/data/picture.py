"""Decodes, converts, resizes and crops one image as the paper does; many images on one sheet."""

import io
import warnings

import numpy as np
from PIL import Image

FILTERS = {f.name.lower(): f for f in Image.Resampling}
MODES = {1: "L", 3: "RGB"}
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's decoders that are used. Some others start programs: that of EPS runs Ghostscript."""

# For the whole program: too large an image is an error; ignore warnings about transparency.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Palette images with Transparency")


def open_picture(data: bytes) -> Image.Image:
    """An encoded image of one of FORMATS, read when it is asked for pixels."""
    return Image.open(io.BytesIO(data), formats=FORMATS)


def decode(data: bytes, size: int, channels: int, resample: Image.Resampling) -> np.ndarray:
    """An encoded image of one of FORMATS as uint8 (channels, size, size).

    The pixels equal torchvision's Resize(size) and CenterCrop(size) of `Image.open(...)` converted
    to RGB (or L). As in the paper's code an EXIF rotation is ignored, an alpha channel dropped, and
    the first frame of an animation taken. 16-bit grey keeps its upper 8 bits. Raises whatever
    Pillow raises for an unreadable image, and ValueError for one of unreasonable size.
    """
    picture = open_picture(data)
    wide, high = picture.size
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and size * size * max(wide, high) / min(wide, high) > most:
        raise ValueError(f"{wide} x {high} px is too long for its width")
    fitted = resize_and_crop(convert(picture, MODES[channels]), size, resample)
    return np.asarray(fitted).reshape(size, size, channels).transpose(2, 0, 1)


def convert(picture: Image.Image, mode: str) -> Image.Image:
    """The picture in mode L or RGB; ValueError when it is not known which pixel value is white."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PNG"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known white")
    return picture if picture.mode == mode else picture.convert(mode)


def resize_and_crop(picture: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """Short side to `size` (antialiased), then the centre square; sizes as torchvision rounds them."""
    width, height = picture.size
    short = min(width, height)
    if short != size:
        new = (int(size * width / short), int(size * height / short))
        picture = picture.resize(new, resample)
    width, height = picture.size
    if width == height == size:
        return picture
    left, top = round((width - size) / 2), round((height - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def tile(images: np.ndarray, columns: int, gap: int = 1, ground: int = 255) -> np.ndarray:
    """uint8 images (N, C, H, W) row by row on one sheet (C, ..., ...), `gap` px of `ground` apart."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    down, across = height + gap, width + gap
    sheet = np.full((channels, rows * down - gap, columns * across - gap), ground, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * down, (i % columns) * across
        sheet[:, y : y + height, x : x + width] = image
    return sheet
