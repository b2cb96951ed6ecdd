"""Painting traces and step statistics of a finished painter."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from fpa.common.errors import UserError
from fpa.evaluation.sampling import CHUNK, sample_latents
from fpa.evaluation.trace import join, statistics
from fpa.models.interface import Model, Paints


def painting_traces(
    model: Model, count: int, seed: int, device: torch.device
) -> dict[str, np.ndarray]:
    """The traces of the sample's first paintings (at most one chunk of them), by name."""
    return next(_traces(model, min(count, CHUNK), seed, device))


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
    if not isinstance(model, Paints):
        raise UserError("this run's model is no painter: it cannot show how it paints")
    for chunk, start in enumerate(range(0, count, CHUNK)):
        n = min(CHUNK, count - start)
        z = sample_latents(CHUNK, model.latent_dim, seed, chunk)[:n].to(device)
        with torch.inference_mode():
            parts = model.paint(z)
        yield {name: part.cpu().numpy() for name, part in parts.items()}
