"""Many images on one sheet, as an array."""

import numpy as np


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """uint8 images (N, C, H, W) on one sheet (C, rows * (H + 1), columns * (W + 1)), 1 px apart."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((channels, rows * (height + 1) - 1, columns * (width + 1) - 1), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[:, y : y + height, x : x + width] = image
    return sheet
