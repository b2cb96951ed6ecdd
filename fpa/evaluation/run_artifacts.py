"""What figures and the page need of a finished run's generator.

An artifact is one function and one registration in ARTIFACTS, from which the verb `artifact`, the
workflow's rule and the figures' inputs follow. Nothing here imports torch before one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from fpa.core.errors import UserError
from fpa.core.lazy import F, np, torch
from fpa.evaluation.sampling import CHUNK, sample_latents, to_uint8
from fpa.evaluation.trace import PER_EXPERIMENT, join, pick, statistics, step_pictures
from fpa.models.interface import Paints

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fpa.models.interface import Model


# Painting traces -----------------------------------------------------------------------------


def painting_traces(
    model: Model, count: int, seed: int, device: torch.device
) -> dict[str, np.ndarray]:
    """The traces of the sample's first paintings (at most one chunk of them), by name."""
    return next(_traces(model, min(count, CHUNK), seed, device))


def steps_of(model: Model, latents: Tensor, device: torch.device) -> dict[str, np.ndarray]:
    """The traces of the paintings of latents (N, L), by name, and the pictures of their steps.

    updates, partial: (N, T, C, D, D) float32, each scaled to the finished image's norm and with its
    tanh, as in the paper's illustrations (fpa.evaluation.trace.step_pictures).
    """
    parts = list(_paint(model, latents.split(CHUNK), device))
    trace = {
        name: part if name in PER_EXPERIMENT else np.concatenate([p[name] for p in parts])
        for name, part in parts[0].items()
    }
    pictures: dict[str, list[np.ndarray]] = {"updates": [], "partial": []}
    # One by one: all of them in float64 would not fit into memory.
    for n in range(len(latents)):
        for kind, made in zip(("updates", "partial"), step_pictures(pick(trace, n)), strict=True):
            pictures[kind].append(made.astype(np.float32))
    return {**trace, **{kind: np.concatenate(made) for kind, made in pictures.items()}}


def step_statistics(
    model: Model,
    count: int,
    seed: int,
    device: torch.device,
    progress: Callable[[int], None] = lambda n: None,
) -> dict[str, np.ndarray]:
    """Statistics of every step of `count` paintings (fpa.evaluation.trace.statistics)."""
    parts = []
    for trace in _traces(model, count, seed, device):
        parts.append(statistics(trace))
        progress(len(trace["image"]))
    return join(parts)


def _traces(
    model: Model, count: int, seed: int, device: torch.device
) -> Iterator[dict[str, np.ndarray]]:
    """Traces chunk by chunk, of the same latents that samples are drawn from."""
    chunks = (
        sample_latents(CHUNK, model.latent_dim, seed, chunk)[: min(CHUNK, count - start)]
        for chunk, start in enumerate(range(0, count, CHUNK))
    )
    return _paint(model, chunks, device)


def _paint(
    model: Model, chunks: Iterable[Tensor], device: torch.device
) -> Iterator[dict[str, np.ndarray]]:
    if not isinstance(model, Paints):
        raise UserError("this run's model is no painter: it cannot show how it paints")
    for z in chunks:
        with torch.inference_mode():
            parts = model.paint(z.to(device))
        yield {name: part.cpu().numpy() for name, part in parts.items()}


# Images between two latents ------------------------------------------------------------------


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Latents (R, L) on the great circles from `start` (R, L) to `end`: normal ones stay typical.

    Spherical interpolation as in White, "Sampling Generative Networks" (2016).
    """
    cosine = F.cosine_similarity(start, end, dim=1).clamp(-1, 1)
    angle = cosine.acos()[:, None]
    # Parallel latents leave no circle; the straight line is the limit.
    straight = angle.sin().abs() < 1e-6
    divisor = torch.where(straight, 1.0, angle.sin())
    first = torch.where(straight, 1 - share, ((1 - share) * angle).sin() / divisor)
    second = torch.where(straight, share, (share * angle).sin() / divisor)
    return first * start + second * end


def interpolate(
    generator: nn.Module, latent_dim: int, rows: int, frames: int, seed: int, device: torch.device
) -> np.ndarray:
    """uint8 images (rows, frames, C, H, W) between pairs of the sample's first latents."""
    # Whole chunks, so that a pair does not change with the number of rows.
    chunks = [sample_latents(CHUNK, latent_dim, seed, i) for i in range(-(-2 * rows // CHUNK))]
    pairs = torch.cat(chunks)[: 2 * rows].unflatten(0, (rows, 2)).to(device)
    images = []
    for share in np.linspace(0, 1, frames):
        # Noise inside a generator is the same in every frame: only the latent moves.
        torch.manual_seed(seed)
        with torch.inference_mode():
            images.append(to_uint8(generator(slerp(pairs[:, 0], pairs[:, 1], float(share)))))
    return np.stack(images, axis=1)
