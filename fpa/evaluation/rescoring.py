"""A published model's scores made again: sampled, brought into feature space and measured."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.progress import Progress
from fpa.data.store import open_store
from fpa.evaluation import features, sampling
from fpa.evaluation.distances import Estimate
from fpa.evaluation.extractors import obtain
from fpa.evaluation.protocols import Space
from fpa.evaluation.scores import Score, Settings, choose, measure, pair
from fpa.runs import export

RELATIVE = 1e-3
"""Another machine rounds differently, which changes some pixels of some samples by 1 of 255."""
OF_ERROR = 0.1
"""The same in standard errors of sampling, for distances near zero: other samples of the same model
differ by ten times as much."""
SHARE = 2e-3
"""The same for precision and recall, which are shares of images: a few of them cross a border."""


class Rescored(NamedTuple):
    """A model's samples and scores, made again."""

    same_samples: bool
    """Whether the samples have the digest of those that were scored, bit for bit."""
    metrics: dict[str, Estimate]
    """By name; empty where features are not finite."""


def rescore(
    model_folder: Path,
    score: Score,
    sampled: int,
    data: Path,
    scratch: Path,
    device: torch.device,
) -> Rescored:
    """Sample from an export as a score says, and measure the samples again.

    sampled: images that were drawn, of which the score may be of the first only. data: the data folder, with the prepared images, and features of them and the extractor where
    they are there. scratch: a folder for what is made. Metrics that need the cross-check are left out.
    UserError when the export or the data are missing, or not those of the score.
    """
    try:
        settings = Settings(**score.settings)  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(f"{model_folder}: its score file is not one of this version") from error
    if not (score.n_fake and score.real_sha256 and score.resize and score.format):
        raise UserError(f"{model_folder}: its score file is not one of this version")
    space = Space.parse(f"{score.extractor}.{score.resize}.{score.format}")
    run = export.read_run(model_folder)
    store = data / run.store
    _, manifest = open_store(store)
    if manifest.images_sha256 != score.real_sha256:
        raise UserError(
            f"{store} holds other images than {score.dataset} was scored against (digest "
            f"{manifest.images_sha256[:12]}..., expected {score.real_sha256[:12]}...)"
        )
    extractor = _extractor(space.extractor, data, scratch)
    real = data / artifacts.real_features(store.name, space)
    if not real.exists():
        real = scratch / artifacts.real_features(store.name, space)
    if not real.exists():
        features.compute_file(store, space, extractor, device, real)
    model = export.load(model_folder)
    model.to(device)
    images, fake = scratch / "samples.npy", scratch / f"features.{space}.npy"
    bar = Progress(sampled, f"sampling {model_folder.name}", "images")
    chunks = sampling.sample_chunks(model.ema, model.latent_dim, sampled, settings.seed, device)
    sampling.save(images, chunks, sampled, {}, bar)
    bar.close()
    features.compute_file(images, space, extractor, device, fake, score.n_fake)
    both = pair(choose(features.load(real), score.n_real, settings.seed), features.load(fake))
    return Rescored(file_digest(images) == score.fake_sha256, measure(both, None, settings))


def _extractor(name: str, data: Path, scratch: Path) -> Path:
    """The description of a feature extractor: the data folder's, or one that is found now."""
    known = data / artifacts.extractor(name)
    if known.exists():
        return known
    found = scratch / artifacts.extractor(name)
    if not found.exists():
        obtain(name, None, found)
    return found


def differences(published: Mapping[str, Estimate], found: Mapping[str, Estimate]) -> list[str]:
    """Where metrics are further from published ones than rounding explains: one phrase each."""
    phrases = []
    for name, made in found.items():
        if name not in published:
            phrases.append(f"{name} is not in the score file")
            continue
        one, two = published[name].value, made.value
        if math.isnan(one) and math.isnan(two):
            continue
        error = published[name].error
        if name in ("precision", "recall"):
            allowed = SHARE
        else:
            allowed = RELATIVE * abs(one) + (0 if math.isnan(error) else OF_ERROR * error)
        if not abs(one - two) <= allowed:
            phrases.append(f"{name} is {two:.6g}, published {one:.6g} (allowed: {allowed:.2g})")
    missing = [] if found or not published else ["its features are not finite"]
    return missing + phrases
