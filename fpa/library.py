"""What users of the library call; `import fpa` offers these functions by name."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fpa.core.errors import UserError
from fpa.core.registry import CLASS, trust
from fpa.evaluation import distances, sampling
from fpa.evaluation import evaluate as evaluation
from fpa.evaluation.image_sets import as_array
from fpa.evaluation.metrics import metrics_of_images
from fpa.evaluation.scores import Settings
from fpa.models.interface import Model
from fpa.runs.generators import restore

LARGEST_SEED = 2**31 - 1
"""As in a configuration."""
MOST_IMAGES = 10_000_000
"""More fill no memory."""


def load(
    folder: str | Path,
    checkpoint: str = "last",
    device: str = "cpu",
    trust_class: str | None = None,
) -> Model:
    """A finished run's model, or an export's, its EMA generator ready to paint.

    folder: a run's folder (it holds weights.safetensors) or an export's. checkpoint: `best` (by the
    training's quick score) or `last`. device: auto, cpu, cuda, or a GPU by its number. trust_class: a class `package.module:Class` of somebody
    else, which may be imported if the folder names it. Raises fpa.core.errors.UserError when there
    is none.
    """
    place = _device(device)
    if trust_class is not None:
        if not isinstance(trust_class, str) or not CLASS.fullmatch(trust_class):
            raise UserError(
                f"trust_class: expected package.module:Class, found {trust_class!r:.60}"
            )
        trust([trust_class])
    model = restore(_path("folder", folder), checkpoint)
    model.to(place)
    return model


def _path(name: str, found: object) -> Path:
    """The path that a user names; UserError for what is none."""
    if not isinstance(found, (str, Path)) or not str(found):
        raise UserError(f"{name}: expected a path, found {found!r:.60}")
    return Path(found).expanduser()


def _device(name: str | torch.device) -> torch.device:
    """auto, cpu, cuda, or a GPU by its number, as in cuda:1; UserError for what is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise UserError(
            f"device: expected auto, cpu, or a GPU that torch can use (cuda, cuda:1), found {name!r}"
        ) from error
    if found.type not in ("cpu", "cuda"):
        raise UserError(f"device: expected auto, cpu or cuda, found {name!r}")
    return found


def _whole(name: str, found: object, least: int, most: int | None = None) -> None:
    """UserError unless it is a whole number from `least` to `most`."""
    whole = isinstance(found, (int, np.integer)) and not isinstance(found, bool)
    if not whole or found < least or (most is not None and found > most):  # type: ignore[operator]
        expected = f"at least {least}" if most is None else f"from {least} to {most}"
        raise UserError(f"{name}: expected a whole number {expected}, found {found!r}")


def paint(model: Model, count: int, seed: int = 0) -> np.ndarray:
    """`count` images, uint8 (count, C, H, W): the same that `python -m fpa sample` draws."""
    _whole("count", count, 1, MOST_IMAGES)
    _whole("seed", seed, 0, LARGEST_SEED)
    ema = getattr(model, "ema", None)
    if not isinstance(ema, torch.nn.Module):
        raise UserError(f"model: expected what fpa.load returns, found {type(model).__name__}")
    kinds = {(p.device, p.dtype) for p in ema.parameters()}
    device, dtype = next(iter(kinds))
    if len(kinds) > 1 or dtype != torch.float32 or device.type == "meta":
        found = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in kinds))
        raise UserError(f"model: expected a generator of float32 on one device, found {found}")
    training = ema.training
    ema.eval()
    try:
        return sampling.sample(ema, model.latent_dim, count, seed, device)
    finally:
        ema.train(training)


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance of two feature sets (N, d); in Inception-v3 features this is the FID."""
    real, fake = as_array(real, "real"), as_array(fake, "fake")
    for name, found in (("real", real), ("fake", fake)):
        if found.ndim != 2 or found.dtype.kind not in "fiu" or len(found) < 2 or not found.size:
            raise UserError(
                f"{name}: expected features, numbers (N, d) with N at least 2, found {found.dtype} "
                f"{found.shape}"
            )
        if not np.isfinite(found).all():
            raise UserError(f"{name}: expected finite features, found NaN or infinity")
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"real has {real.shape[1]} features, fake {fake.shape[1]}: they are of two networks"
        )
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            distance = distances.frechet_of(real, fake)
    except (ValueError, np.linalg.LinAlgError):
        distance = math.nan
    if not math.isfinite(distance):
        most = max(float(np.abs(found).max()) for found in (real, fake))
        raise UserError(f"the distance of features up to {most:g} cannot be computed; scale them")
    return distance


def evaluate(
    images: np.ndarray | str | Path,
    real: np.ndarray | str | Path,
    protocol: str | Mapping[str, Any] = "quick",
    *,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    data: str | Path = "data",
    weights: str | None = None,
    device: str = "auto",
    digest: str = "",
) -> dict[str, Any]:
    """The score of any images against real ones, as the contents of a score file.

    images: uint8 (N, C, H, W) with C 1 or 3, a .npy file of such an array, or a folder, zip or tar of
    image files of one size. real: the same, the folder of a prepared data set, or the reference file
    that `fpa reference` wrote; of it, `digest` is the SHA-256 that it must have, or its beginning.
    metrics: names, by default all that images alone allow. protocol: paper, clean, quick, or settings of your own, as in
    `{"extractor": "efficientnet_lite0-64px", "n_fake": 5000}`. seed: of random subsets. data: the
    folder that keeps what is found about networks and prepared data sets. weights: a folder with the
    network's weights; without it, they are looked for in the usual caches or downloaded.

    `["metrics"]["fid"]` of the result has a `value` and its standard `error`. Raises
    fpa.core.errors.UserError for images that cannot be read or compared, and missing networks.
    """
    _whole("seed", seed, 0, LARGEST_SEED)
    if isinstance(metrics, str):
        raise UserError(
            f"metrics: expected a list of names, found {metrics!r}; write [{metrics!r}]"
        )
    names = metrics_of_images() if metrics is None else list(metrics)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"metrics: expected a list of names, found {metrics!r:.60}")
    if weights is not None and not _path("weights", weights).exists():
        raise UserError(f"weights: there is nothing at {weights}")
    place = evaluation.EvaluationContext(_path("data", data), weights, device)
    score = evaluation.evaluate(
        images,
        real,
        protocol,
        place,
        Settings(names, seed=int(seed)),
        digest=digest or "",
    )
    return score.as_json()
