"""The quick score of a few samples: their Fréchet distance, which chooses a training's best checkpoint.

With it come precision and recall, for the curves over training. All are measured as a protocol
measures: through the same files, resize and network, but on samples of their own, so that no
checkpoint is chosen by the samples that it is scored on.

Everything happens on the generator's device, and three numbers come back. Only JPEG files take the
way over the host, as no device writes them with the same bits.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fpa.core.torch_utils import to_device
from fpa.evaluation import extractors, features, on_device, precision_recall, sampling
from fpa.evaluation.protocols import Space
from fpa.runs.run import Budget

MOST_COVERED = 2_000
"""Images on either side of precision and recall, at most: seconds for each quick score."""

Watch = Callable[[nn.Module], dict[str, float]]
"""EMA generator -> scores by name, for the history."""

NAMES = ("fid", "precision", "recall")


class QuickScore:
    """Generators -> scores, against features of real images (N, d).

    space: where those are from; about: the description of the network that made them; count: of
    samples; seed: of their latents, which are the same each time, and never those of a sample that
    is scored.
    """

    def __init__(
        self,
        real: np.ndarray,
        space: Space,
        about: str | Path,
        latent_dim: int,
        count: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.latent_dim, self.count, self.seed, self.device = latent_dim, count, seed, device
        self.real = on_device.RealGaussian.of(real, device)
        self.network = extractors.load(about, space.resize, device)
        self.stored_as = space.format
        manifold = precision_recall.real_subset(real, min(MOST_COVERED, count, len(real)), seed)
        self.centres, self.radii = (torch.from_numpy(part).to(device) for part in manifold)

    @torch.inference_mode()
    def measure(self, generator: nn.Module) -> Tensor:
        """The numbers of NAMES, (3,) float64 on the device; NaN where one image is not finite."""
        parts = []
        sound = torch.ones((), dtype=torch.bool, device=self.device)
        for images, finite in sampling.chunks_on_device(
            generator, self.latent_dim, self.count, self.seed, self.device, sampling.Purpose.CHOOSE
        ):
            parts.append(self.network.on_device(self._stored(images)))
            sound = sound & finite.all()
        fake = torch.cat(parts)
        shares = on_device.precision_recall(self.centres, self.radii, fake[: len(self.centres)])
        scores = torch.stack([on_device.frechet(self.real, fake), *shares])
        return scores.where(sound, torch.nan)

    def _stored(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) as files of the protocol's format give them back."""
        if self.stored_as != "jpeg":
            return images
        stored = [features.as_stored(image, "jpeg") for image in images.cpu().numpy()]
        return to_device(torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2), self.device)

    def __call__(self, generator: nn.Module) -> dict[str, float]:
        return dict(zip(NAMES, self.measure(generator).tolist(), strict=True))


def quick_score(
    training: Budget,
    real: str | Path,
    extractor: str | Path,
    latent_dim: int,
    seed: int,
    device: torch.device,
) -> Watch:
    """A function from the EMA generator to its score, for a run's history; NaN for images that are.

    training: the run's budget; real: features of the real images in the run's
    `watch_space`; extractor, seed: as for QuickScore.
    """
    space, count = Space.parse(training.watch_space), training.watch_images
    values = features.load(real).values
    return QuickScore(values, space, extractor, latent_dim, count, seed, device)
