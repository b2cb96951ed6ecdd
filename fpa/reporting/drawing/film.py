"""Frames of a training's film."""

import math
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fpa.core.errors import UserError
from fpa.reporting.drawing.tiles import tile

WIDTH = 280
"""Pixels, about: snapshots are enlarged by a whole factor up to it."""
COLUMNS = 4
BAR = 24
"""Height (px) of the line of text below the images."""


def film_frames(film: Mapping[str, np.ndarray]) -> list[Image.Image]:
    """One frame a snapshot: its images, and below them how far the training was, and its quick score.

    film: `images` uint8 (F, N, C, H, W), `kimg` and `fid` (F,).
    """
    try:
        images, kimg, fid = (film[key] for key in ("images", "kimg", "fid"))
    except KeyError as error:
        raise UserError(f"these are no snapshots of a training: {error} is missing") from error
    if images.ndim != 5 or images.dtype != np.uint8 or not len(images) == len(kimg) == len(fid):
        raise UserError("these are no snapshots of a training: their shapes do not fit together")
    factor = max(1, WIDTH // (COLUMNS * (images.shape[-1] + 1)))
    return [
        _frame(*frame, factor, float(kimg[-1])) for frame in zip(images, kimg, fid, strict=True)
    ]


def _frame(images: np.ndarray, kimg: float, fid: float, factor: int, whole: float) -> Image.Image:
    large = images.repeat(factor, axis=2).repeat(factor, axis=3)
    sheet = Image.fromarray(tile(large, COLUMNS, factor).transpose(1, 2, 0).squeeze())
    frame = Image.new("RGB", (sheet.width, sheet.height + BAR), "white")
    frame.paste(sheet)
    pen = ImageDraw.Draw(frame)
    done = kimg / whole if whole else 1.0
    pen.rectangle((0, sheet.height + 1, round(done * sheet.width), sheet.height + 3), fill="#777")
    score = f"   distance {fid:.1f}" if math.isfinite(fid) else ""
    pen.text((4, sheet.height + 6), f"{kimg:.4g} kimg{score}", fill="black", font=_font())
    return frame


def note(text: str) -> Image.Image:
    """A frame with nothing but words."""
    frame = Image.new("RGB", (WIDTH // 2, 4 * BAR), "white")
    ImageDraw.Draw(frame).text((10, 12), text, fill="black", font=_font())
    return frame


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, the same everywhere."""
    return ImageFont.load_default(14)
