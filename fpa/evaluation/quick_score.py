"""The quick score of a few samples: their Fréchet distance, which chooses a training's best checkpoint.

With it come precision and recall, for the curves over training. All are measured as a protocol
measures: through the same files, resize and network, but on samples of their own, so that no
checkpoint is chosen by the samples that it is scored on.

Everything happens on the generator's device, and three numbers come back. Only JPEG files take the
way over the host, as no device writes them with the same bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fpa.core.errors import UserError
from fpa.core.torch_utils import to_device
from fpa.evaluation import distances, extractors, features, sampling
from fpa.evaluation.precision_recall import NEIGHBOURS, real_subset
from fpa.evaluation.protocols import Space

MOST_COVERED = 2_000
"""Images on either side of precision and recall, at most: seconds for each quick score."""

BLOCK = 4096
"""Features that are in double precision at once."""

Watch = Callable[[nn.Module], dict[str, float]]
"""EMA generator -> scores by name, for the history."""

NAMES = ("fid", "precision", "recall")


class QuickScore:
    """Generators -> scores, against features of real images (N, d).

    space: where those are from; described_in: what describes the network that made them; count: of
    samples; seed: of their latents, which are the same each time, and never those of a sample that
    is scored. UserError for real images that no distance can be measured from: fewer than four, or one
    image again and again.
    """

    def __init__(
        self,
        real: np.ndarray,
        space: Space,
        described_in: str | Path,
        latent_dim: int,
        count: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.latent_dim, self.count, self.seed, self.device = latent_dim, count, seed, device
        if min(count, len(real)) <= NEIGHBOURS:
            raise UserError(
                f"a quick score needs {NEIGHBOURS + 1} images on either side, found {len(real)} real "
                f"and {count} generated ones; have more, or set training.watch_kimg: 0"
            )
        distances.check_varied(real)
        self.real = RealGaussian.of(real, device)
        self.network = extractors.load(described_in, space.resize, device)
        self.stored_as = space.format
        manifold = real_subset(real, min(MOST_COVERED, count, len(real)), seed)
        self.centres, self.radii = (torch.from_numpy(part).to(device) for part in manifold)

    @torch.inference_mode()
    def measure(self, generator: nn.Module) -> Tensor:
        """The numbers of NAMES, (3,) float64 on the device; NaN where one image is not finite."""
        parts = []
        sound = torch.ones((), dtype=torch.bool, device=self.device)
        how = self.latent_dim, self.count, self.seed, self.device, sampling.Purpose.SELECTION
        for images, finite in sampling.chunks_on_device(generator, *how):
            parts.append(self.network.on_device(self._stored(images)))
            sound = sound & finite.all()
        fake = torch.cat(parts)
        shares = precision_recall(self.centres, self.radii, fake[: len(self.centres)])
        scores = torch.stack([frechet(self.real, fake), *shares])
        return scores.where(sound, torch.nan)

    def _stored(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) as files of the protocol's format give them back."""
        if self.stored_as != "jpeg":
            return images
        stored = [features.as_stored(image, "jpeg") for image in images.cpu().numpy()]
        return to_device(torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2), self.device)

    def __call__(self, generator: nn.Module) -> dict[str, float]:
        return dict(zip(NAMES, self.measure(generator).tolist(), strict=True))


# Its numbers in torch, on the device that the features are on --------------------------------
#
# They are those of fpa.evaluation.distances and fpa.evaluation.precision_recall, and no number is asked
# of the device on the way, but for what LAPACK's counterparts there ask for.


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
        found = distances.gaussian(features)
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
