"""Decodes, converts, resizes and crops one image as the paper does; many images on one sheet."""

import contextlib
import io
import re
import sys
import warnings
from functools import cache
from importlib import import_module

import numpy as np
from PIL import Image, UnidentifiedImageError

from fpa.data.image_kinds import ADVICE, LARGEST_FILE, START, kind_of

FILTERS = {f.name.lower(): f for f in Image.Resampling}
MODES = {1: "L", 3: "RGB"}
FORMATS = ("HEIF", "AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's decoders that are used. Some others start programs: that of EPS runs Ghostscript."""
PLANES = (
    "channels of more than 8 bits in planes of their own, which Pillow misreads; save it as PNG"
)
"""Of a TIFF."""

# For the whole program: too large an image is an error; ignore warnings about transparency.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", message="Palette images with Transparency")


@cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that are read with what is installed."""
    with contextlib.suppress(ImportError, OSError):
        import_module("pillow_heif").register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def is_read(kind: str) -> bool:
    """Whether images of this kind (fpa.data.image_kinds) are read with what is installed."""
    return {"HEIC": "HEIF"}.get(kind, kind) in formats()


def open_picture(data: bytes) -> Image.Image:
    """An encoded image of one of FORMATS, whatever its name, read when it is asked for pixels.

    All that read images read them here. Raises whatever Pillow raises for an unreadable image, and
    ValueError, with what to do, for an image of a kind that cannot be read.
    """
    if len(data) > LARGEST_FILE:
        raise ValueError(f"{len(data):,} bytes are too many for an image")
    kind = kind_of(data[:START])
    if kind in ADVICE and not is_read(kind):
        raise ValueError(f"{kind}; {ADVICE[kind]}")
    try:
        picture = Image.open(io.BytesIO(data), formats=formats())
    except UnidentifiedImageError as error:
        reason = "no image, or of an unknown format"
        if kind:
            reason = f"{kind} that is damaged, or of a form that Pillow does not read"
        raise UnidentifiedImageError(reason) from error
    if picture.format == "TIFF":
        tags = getattr(picture, "tag_v2", {})
        # Cameras' own formats are TIFFs whose first image is a small one.
        if 50706 in tags or (330 in tags and tags.get(254, 0) & 1):
            raise ValueError(f"raw photograph; {ADVICE['raw photograph']}")
    return picture


def read_picture(data: bytes, mode: str) -> Image.Image:
    """An encoded image of one of FORMATS in mode L or RGB, in its full size.

    As in the paper's code an EXIF rotation is ignored, an alpha channel dropped, and the first
    frame of an animation taken. Of 16 bits the upper 8 are kept, of fewer bits in 16 the upper 8 of
    those (see `_bits`). Raises what `open_picture` does, and ValueError when it is not known which
    pixel value is white.
    """
    return _convert(open_picture(data), data, mode)


def _convert(picture: Image.Image, data: bytes, mode: str) -> Image.Image:
    values = _values_of_16_bits(picture, data)
    if values is not None:
        bits = _bits(picture, data, int(values.max()))
        if picture.format == "TIFF" and picture.tag_v2.get(262) == 0:  # type: ignore[attr-defined]
            # White is zero, which Pillow reads of 8 bits alone.
            values = (1 << bits) - 1 - values
        values = values >> (bits - 8) if bits >= 8 else values << (8 - bits)
        pixels = values.astype(np.uint8)
        if picture.mode == "CMYK":
            picture = Image.frombytes("CMYK", picture.size, pixels.tobytes())
        else:
            picture = Image.fromarray(pixels)
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known white")
    return picture if picture.mode == mode else picture.convert(mode)


def _values_of_16_bits(picture: Image.Image, data: bytes) -> np.ndarray | None:
    """Pixels (H, W), (H, W, 3) or of CMYK (H, W, 4) of 16 bits; None where Pillow reads them in 8 as
    they should be. ValueError where it cannot.
    """
    # Before the pixels are read: then Pillow forgets how they were stored.
    tiles = list(getattr(picture, "tile", []))
    grey = picture.mode == "I" and picture.format in ("PNG", "PPM")
    if picture.mode.startswith("I;16") or grey:
        picture.info["scaled"] = picture.format == "PPM" and tiles[0][0] != "raw"
        return np.asarray(picture)
    if data.startswith(b"P6") and tiles and tiles[0][3] == ("RGB", 65535):
        wide, high = picture.size
        values = np.frombuffer(data[tiles[0][2] :][: 6 * wide * high], ">u2")
        if len(values) == 3 * wide * high and _bits(picture, data, int(values.max())) < 16:
            return values.reshape(high, wide, 3)
        return None
    # Of colours Pillow gives the upper byte alone. If that is dark throughout, the lower one is
    # read too, by telling the decoder the other order of bytes.
    tags = getattr(picture, "tag_v2", {})
    planes = tags.get(284) == 2 and max(tags.get(258, (8,))) > 8
    if planes and tiles and tiles[0][0] == "raw":
        raise ValueError(PLANES)
    other = [_other_byte(tile) for tile in tiles]
    if not other or None in other:
        return None
    channels = 4 if picture.mode == "CMYK" else 3
    upper = np.asarray(picture)[..., :channels]
    if _bits(picture, data, int(upper.max()) << 8) == 16:
        return None
    if planes:
        raise ValueError(PLANES)
    again = open_picture(data)
    again.tile = other  # type: ignore[attr-defined]
    lower = np.asarray(again)[..., :channels]
    if picture.format == "PNG" and data[25] == 4:
        upper, lower = upper[..., 0], lower[..., 1]
    return upper.astype(np.uint16) << 8 | lower


def _other_byte(tile: tuple) -> tuple | None:
    """How Pillow would decode the lower byte of pixels of 16 bits; None for other pixels."""
    args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    raw = str(args[0]) if args else ""
    if sys.byteorder == "little":
        raw = raw.replace(";16N", ";16L")
    if raw == "LA;16B":
        # Four bytes a pixel, two of them grey.
        new = "RGBA"
    elif found := re.fullmatch("((?:RGB[AX]?|CMYK);16)([BL])", raw):
        new = found[1] + {"B": "L", "L": "B"}[found[2]]
    else:
        return None
    parts = (*tile[:3], (new, *args[1:]) if isinstance(tile[3], tuple) else new)
    return type(tile)(*parts) if hasattr(tile, "_fields") else parts


def _bits(picture: Image.Image, data: bytes, largest: int) -> int:
    """How many bits an image of 16 uses: what the file states (PNG's sBIT, TIFF's BitsPerSample and
    MaxSampleValue), unless a value is larger. Where it states nothing, 12 if no value is above 4095
    (else it would be black), otherwise 16.
    """
    stated = 12
    if picture.format == "PNG":
        place = data.find(b"sBIT", 0, data.find(b"IDAT"))
        stated = data[place + 4] if place > 0 else stated
    elif picture.format == "TIFF":
        tags = picture.tag_v2  # type: ignore[attr-defined]
        most = tags.get(281, 0)
        most = max(most) if isinstance(most, tuple) else most
        stated = max(tags.get(258, (16,)))
        stated = int(most).bit_length() if most else (stated if stated < 16 else 12)
    elif picture.info.get("scaled"):
        stated = 16
    return stated if 0 < stated < 16 and largest < 1 << stated else 16


def decode(data: bytes, size: int, channels: int, resample: Image.Resampling) -> np.ndarray:
    """An encoded image as `read_picture` reads it, as uint8 (channels, size, size).

    The pixels equal torchvision's Resize(size) and CenterCrop(size) of `Image.open(...)` converted
    to RGB (or L). Raises what `read_picture` does, and ValueError for one of unreasonable size.
    """
    picture = open_picture(data)
    wide, high = picture.size
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and size * size * max(wide, high) / min(wide, high) > most:
        raise ValueError(f"{wide} x {high} px is too long for its width")
    fitted = resize_and_crop(_convert(picture, data, MODES[channels]), size, resample)
    return np.asarray(fitted).reshape(size, size, channels).transpose(2, 0, 1)


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


def tiled_picture(images: np.ndarray, columns: int, factor: int = 1, gap: int = 1) -> Image.Image:
    """The same as a picture, each image enlarged by a whole factor."""
    enlarged = images.repeat(factor, axis=2).repeat(factor, axis=3)
    return Image.fromarray(tile(enlarged, columns, gap).transpose(1, 2, 0).squeeze())
