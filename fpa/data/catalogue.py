"""Where each data set's images come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fpa.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Source:
    """A known source of images."""

    description: str
    count: int
    """Images that it holds."""


SOURCES = {
    "digits": Source("UCI handwritten digits, grey, 8 x 8 px, shipped with scikit-learn", 1797),
}


def check_source(dataset: Mapping[str, Any], where: str) -> None:
    """UserError when a data set names a source that there is not, or cannot be had."""
    if dataset["source"] not in SOURCES:
        known = did_you_mean(dataset["source"], list(SOURCES))
        raise UserError(f"{where}: unknown data set '{dataset['source']}'{known}")


def read_source(source: str) -> tuple[int, Iterator[tuple[str, Image.Image]], dict[str, Any]]:
    """The number of a source's images, (name, picture) for each in order, and its description."""
    return {"digits": _digits}[source]()


def _digits() -> tuple[int, Iterator[tuple[str, Image.Image]], dict[str, Any]]:
    import sklearn
    from sklearn.datasets import load_digits

    # Values run from 0 to 16; 255/16 spreads them over a byte.
    pixels = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    pictures = ((f"{i:04d}", Image.fromarray(p)) for i, p in enumerate(pixels))
    return len(pixels), pictures, {"package": "scikit-learn", "version": sklearn.__version__}
