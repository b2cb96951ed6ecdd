"""What users of the library call; `import fpa` offers these functions by name."""

from pathlib import Path

import numpy as np
import torch

from fpa.common.trust import trust
from fpa.evaluation import distances, sampling
from fpa.models.interface import Model
from fpa.training.finished import restore


def load(
    folder: str | Path,
    checkpoint: str = "last",
    device: str = "cpu",
    trust_class: str | None = None,
) -> Model:
    """A finished run's model, or an export's, its EMA generator ready to paint.

    folder: a run's folder (it holds weights.safetensors) or an export's. checkpoint: `best` (by the
    training's quick score) or `last`. trust_class: a class `package.module:Class` of somebody
    else, which may be imported if the folder names it. Raises fpa.common.errors.UserError when there
    is none.
    """
    trust([trust_class] if trust_class else [])
    model = restore(Path(folder), checkpoint)
    model.to(torch.device(device))
    return model


def paint(model: Model, count: int, seed: int = 0) -> np.ndarray:
    """`count` images, uint8 (count, C, H, W): the same that `python -m fpa sample` draws."""
    device = next(model.ema.parameters()).device
    return sampling.sample(model.ema, model.latent_dim, count, seed, device)


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance of two feature sets (N, d); in Inception-v3 features this is the FID."""
    return distances.frechet_of(np.asarray(real), np.asarray(fake))
