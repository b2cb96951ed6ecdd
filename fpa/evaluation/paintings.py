"""Painting traces and step statistics of a finished painter."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from fpa.core.errors import UserError
from fpa.evaluation.sampling import CHUNK, sample_latents
from fpa.evaluation.trace import PER_EXPERIMENT, join, pick, statistics, step_pictures
from fpa.models.interface import Model, Paints


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
