"""FID and KID on features. A score is never a bare number: what made it stands beside it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from cleanfid import fid as clean
from scipy.linalg import LinAlgWarning

PROTOCOL = "clean-uint8"
"""uint8 arrays without a file round trip, clean-fid's bicubic resize, all real images."""


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance of two feature sets (N, d) by clean-fid's own function."""
    with warnings.catch_warnings():
        # Fewer images than features make a covariance singular: its square root is still the
        # right one here, as the tests show against `frechet_quick`.
        warnings.simplefilter("ignore", LinAlgWarning)
        return float(clean.fid_from_feats(real.astype(np.float64), fake.astype(np.float64)))


def frechet_quick(real: np.ndarray, fake: np.ndarray) -> float:
    """The same distance in a symmetric form that needs no matrix square root of d x d.

    With centred, scaled features X, Y (so that the covariances are X^T X and Y^T Y), the trace of
    (X^T X Y^T Y)^(1/2) is the sum of the singular values of X Y^T: exact, and real for any N.
    """

    def centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = features.astype(np.float64)
        mean = features.mean(axis=0)
        return mean, (features - mean) / np.sqrt(len(features) - 1)

    mean_x, x = centred(real)
    mean_y, y = centred(fake)
    # A factor of the larger set's covariance with at most d rows serves as well as the set.
    if len(x) > x.shape[1]:
        x = np.linalg.qr(x, mode="r")
    if len(y) > y.shape[1]:
        y = np.linalg.qr(y, mode="r")
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    gap = mean_x - mean_y
    return float(gap @ gap + (x * x).sum() + (y * y).sum() - 2 * cross)


def kernel(real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, seed: int) -> float:
    """KID (not times 1000) by clean-fid's own function, its random subsets seeded."""
    with _numpy_seed(seed):
        return float(
            clean.kernel_distance(
                real.astype(np.float64), fake.astype(np.float64), subsets, subset_size
            )
        )


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """clean-fid draws from NumPy's global generator: seed it, and put it back."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
