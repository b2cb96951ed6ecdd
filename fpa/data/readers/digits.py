"""The handwritten digits that come with scikit-learn."""

from collections.abc import Iterator
from typing import Any

from fpa.data.readers.base import Found, Reader


class DigitsReader(Reader):
    """scikit-learn's handwritten digits, as PGM files in memory."""

    kind, only_images = "scikit-learn", True

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        # Values run from 0 to 16; 255/16 spreads them over a byte.
        self.pixels: Any = (load_digits().images * 255 / 16).round().astype("uint8")

    def list(self) -> Iterator[Found]:
        for i, pixels in enumerate(self.pixels):
            yield Found(f"{i:04d}", i, pixels.size)

    def read(self, place: int) -> bytes:
        height, width = self.pixels[place].shape
        data: bytes = self.pixels[place].tobytes()
        return f"P5 {width} {height} 255\n".encode() + data
