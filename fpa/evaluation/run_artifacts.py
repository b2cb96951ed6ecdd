"""What figures and the page need of a finished run's generator.

An artifact is one function and one registration, from which the verb `artifact` and the workflow's rule
follow: a figure names the file as an input (`RunArtifact.file`). A plugin registers its artifacts in the
same way. Nothing here imports torch before one is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import save_array, save_npz, write_bytes
from fpa.core.lazy import F, LazyModule, np, torch
from fpa.core.progress import Progress
from fpa.core.registry import Registry
from fpa.evaluation.sampling import CHUNK, sample_latents, to_uint8
from fpa.evaluation.trace import PER_EXPERIMENT, join, pick, statistics, step_pictures
from fpa.models.interface import Model, Paints

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RunArtifact:
    """An artifact of a finished run's generator: a file in the run's folder."""

    name: str
    """In its file's name, and for the verb `artifact`."""
    ending: str
    """npz, npy, or that of a file whose contents it is."""
    make: Callable[..., dict[str, np.ndarray] | np.ndarray | bytes]
    """(model, *size, seed, device) -> arrays by name, an array, or the file's contents. size: how much
    of it, one number or more; the model is on the device. Heavy imports belong inside."""

    @property
    def sizes(self) -> int | None:
        """How many numbers say how much of it; None where it takes any."""
        taken = inspect.signature(self.make).parameters.values()
        if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken):
            return None
        return len(taken) - len(("model", "seed", "device"))

    def file(self, checkpoint: str, *size: object, seed: object) -> str:
        """Its name in a run's folder."""
        return artifacts.of_generator(self.name, checkpoint, size, seed, self.ending)

    def save(
        self, path: str | Path, model: Model, size: Sequence[int], seed: int, device: torch.device
    ) -> None:
        """Make it and write its file. UserError for another number of sizes than it takes."""
        if (expected := self.sizes) not in (None, len(size)):
            raise UserError(
                f"{self.name} takes {expected} number{'s' if expected != 1 else ''}, found "
                f"{' '.join(map(str, size))}"
            )
        made = self.make(model, *size, seed, device)
        if isinstance(made, bytes):
            write_bytes(path, made)
        elif isinstance(made, dict):
            save_npz(path, **made)
        else:
            save_array(path, made)


ARTIFACTS: Registry[RunArtifact] = Registry("artifact", RunArtifact)


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
    # One by one: all of them in float64 would not fit into memory.
    pictures = [
        [made.astype(np.float32) for made in step_pictures(pick(trace, n))]
        for n in range(len(latents))
    ]
    updates, partial = map(np.concatenate, zip(*pictures, strict=True))
    return {**trace, "updates": updates, "partial": partial}


def step_statistics(
    model: Model, count: int, seed: int, device: torch.device
) -> dict[str, np.ndarray]:
    """Statistics of every step of `count` paintings (fpa.evaluation.trace.statistics)."""
    parts, bar = [], Progress(count, "painting", "paintings")
    for trace in _traces(model, count, seed, device):
        parts.append(statistics(trace))
        bar.update(len(trace["image"]))
    bar.close()
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
        raise UserError("this run's model is not a painter: it cannot show how it paints")
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


def interpolations(
    model: Model, rows: int, frames: int, seed: int, device: torch.device
) -> np.ndarray:
    """uint8 images (rows, frames, C, H, W) between pairs of the sample's first latents."""
    if frames < 2:
        raise UserError(f"from one latent to another it takes at least 2 images, found {frames}")
    # Whole chunks, so that a pair does not change with the number of rows.
    chunks = [
        sample_latents(CHUNK, model.latent_dim, seed, i) for i in range(-(-2 * rows // CHUNK))
    ]
    pairs = torch.cat(chunks)[: 2 * rows].unflatten(0, (rows, 2)).to(device)
    images = []
    for share in np.linspace(0, 1, frames):
        # Noise inside a generator is the same in every frame: only the latent moves.
        torch.manual_seed(seed)
        with torch.inference_mode():
            images.append(to_uint8(model.ema(slerp(pairs[:, 0], pairs[:, 1], float(share)))))
    return np.stack(images, axis=1)


# The page's painter: it imports the painter's networks.
live = LazyModule("fpa.evaluation.live")

for _artifact in (
    RunArtifact("paintings", "npz", painting_traces),
    RunArtifact("statistics", "npz", step_statistics),
    RunArtifact("interpolations", "npy", interpolations),
    RunArtifact(
        "live", "safetensors", lambda model, count, seed, device: live.pack(model, count, seed)
    ),
):
    ARTIFACTS.register(_artifact.name, _artifact)
