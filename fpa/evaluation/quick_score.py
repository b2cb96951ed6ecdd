"""The quick score of a few samples: their Fréchet distance, which chooses a training's best checkpoint.

With it come precision and recall, for the curves over training. All are measured as a protocol
measures: through the same files, resize and network, but on samples of their own, so that no
checkpoint is chosen by the samples that it is scored on.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fpa.evaluation import distances, extractors, features, precision_recall, sampling
from fpa.evaluation.protocols import Space
from fpa.training.loop import Watch

MOST_COVERED = 2_000
"""Images on either side of precision and recall, at most: seconds for each quick score."""


def quick_score(
    training: Mapping[str, Any],
    real: str | Path,
    extractor: str | Path,
    latent_dim: int,
    seed: int,
    device: torch.device,
) -> Watch:
    """A function from the EMA generator to its score, for a run's history; NaN for images that are.

    training: the run's training settings; real: features of the real images in the run's
    `watch_space`; extractor: the description of the network that made them; seed: of the latents,
    which are the same each time, and never those of a sample that is scored.
    """
    space = Space.parse(training["watch_space"])
    real_values = features.load(real).values
    shift = distances.origin(real_values)
    reference = distances.gaussian(distances.sums(real_values, shift), shift)
    network = extractors.load(extractor, space.resize, device)
    count = training["watch_images"]
    most = min(MOST_COVERED, count, len(real_values))
    real_covered = precision_recall.real_subset(real_values, most, seed)

    def watch(generator: nn.Module) -> dict[str, float]:
        chunks = sampling.sample_chunks(
            generator, latent_dim, count, seed, device, sampling.Purpose.CHOOSE
        )
        parts = []
        for images, finite in chunks:
            if not finite.all():
                return dict.fromkeys(("fid", "precision", "recall"), math.nan)
            parts.append(features.extract(images, network, space.format))
        fake = np.concatenate(parts)
        moments = distances.gaussian(distances.sums(fake, shift), shift)
        precision, recall = precision_recall.precision_recall(real_covered, fake[:most])
        fid = distances.frechet(reference, moments)
        return {"fid": fid, "precision": precision, "recall": recall}

    return watch
