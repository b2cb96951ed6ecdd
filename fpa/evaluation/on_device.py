"""The quick score's numbers in torch, on the device that the features are on.

They are those of fpa.evaluation.distances and fpa.evaluation.precision_recall, and no number is asked
of the device on the way, but for what LAPACK's counterparts there ask for.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fpa.evaluation import distances
from fpa.evaluation.precision_recall import NEIGHBOURS

BLOCK = 4096
"""Features that are in double precision at once."""


class RealGaussian(NamedTuple):
    """Mean and covariance of real features, float64 on a device; computed once, by the host."""

    mean: Tensor
    """(d,)"""
    factor: Tensor
    """F (r, d) with covariance F^T F"""
    variance: Tensor
    """The covariance's trace, ()"""

    @classmethod
    def of(cls, features: np.ndarray, device: torch.device) -> "RealGaussian":
        """Of features (N, d)."""
        shift = distances.origin(features)
        found = distances.gaussian(distances.sums(features, shift), shift)
        parts = (found.mean, found.factor, np.trace(found.covariance))
        return cls(*(torch.as_tensor(part).to(device) for part in parts))


def frechet(real: RealGaussian, fake: Tensor) -> Tensor:
    """Fréchet distance |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) from features (n, d); float64 ().

    With S1 = F^T F and S2 = G^T G the last trace is the nuclear norm of F G^T. G is the triangular
    factor R of the centred features, over sqrt(n - 1): it exists for any n, and loses no digits to
    a square.
    """
    mean = fake.mean(dim=0, dtype=torch.float64)
    upper = mean.new_zeros(0, len(mean))
    for block in fake.split(BLOCK):
        upper = torch.linalg.qr(torch.cat([upper, block - mean]), mode="r").R
    factor, gap = upper / (len(fake) - 1) ** 0.5, real.mean - mean
    cross = nuclear_norm(real.factor @ factor.T)
    return gap @ gap + real.variance + factor.square().sum() - 2 * cross


def nuclear_norm(a: Tensor) -> Tensor:
    """The sum of the singular values of a (n, m), ().

    On a GPU, whose singular value decompositions are slow, from the eigenvalues of [[0, A], [A^T, 0]],
    which are the singular values with either sign (Golub & Van Loan, Matrix Computations, 8.6.1). Those
    of A^T A would be faster, but lose half of the digits.
    """
    return torch.linalg.svdvals(a).sum() if a.device.type == "cpu" else _by_eigenvalues(a)


def _by_eigenvalues(a: Tensor) -> Tensor:
    n, m = a.shape
    above = torch.cat([a.new_zeros(n, n), a], dim=1)
    below = torch.cat([a.T, a.new_zeros(m, m)], dim=1)
    return torch.linalg.eigvalsh(torch.cat([above, below])).abs().sum() / 2


def precision_recall(real: Tensor, real_radii: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall, float64 (), of as many features (n, d) on either side.

    real_radii: (n,), from each real one to the third nearest other one.
    """
    real, fake = real.double(), fake.double()
    radii = _squares(fake, fake).fill_diagonal_(torch.inf)
    radii = radii.topk(NEIGHBOURS, dim=1, largest=False).values[:, -1]
    between = _squares(fake, real)
    precision = (between <= real_radii.square()).any(dim=1).double().mean()
    recall = (between <= radii[:, None]).any(dim=0).double().mean()
    return precision, recall


def _squares(one: Tensor, two: Tensor) -> Tensor:
    """Squared Euclidean distances (n, m) of rows (n, d) and (m, d)."""
    squares = one.square().sum(dim=1)[:, None] + two.square().sum(dim=1)
    return (squares - 2 * one @ two.T).clamp_(min=0)
