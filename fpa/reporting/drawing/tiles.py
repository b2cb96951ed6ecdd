"""Many images on one sheet, as an array."""

import numpy as np


def tile(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """uint8 images (N, C, H, W) row by row on one white sheet (C, ..., ...), `gap` px apart."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    down, across = height + gap, width + gap
    sheet = np.full((channels, rows * down - gap, columns * across - gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * down, (i % columns) * across
        sheet[:, y : y + height, x : x + width] = image
    return sheet
