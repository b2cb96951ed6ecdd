"""A published model's scores, made again: samples of its export, measured as its score file says."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.lazy import LazyModule, torch
from fpa.core.progress import Progress
from fpa.data.store import open_store
from fpa.evaluation import extractors, features, sampling
from fpa.evaluation.distances import Estimate
from fpa.evaluation.protocols import Space
from fpa.evaluation.scores import Score, Settings, choose, measure, pair

generators = LazyModule("fpa.runs.generators")  # it imports torch

RELATIVE = 1e-3
"""Another machine rounds differently, which changes some pixels of some samples by 1 of 255."""
OF_ERROR = 0.1
"""The same in standard errors of sampling, for distances near zero: other samples of the same model
differ by ten times as much."""
SHARE = 2e-3
"""The same for precision and recall, which are shares of images: a few of them cross a border."""


def rescore(
    model_folder: Path,
    score: Score,
    sampled: int,
    data: Path,
    scratch: Path,
    device: torch.device,
) -> tuple[bool, dict[str, Estimate]]:
    """Sample from an export as a score says, and measure the samples again.

    Returns whether the samples are those that were scored, bit for bit, and the metrics by name; none
    where features are not finite.

    sampled: images that were drawn, of which the score may be of the first only. data: the data
    folder, with the prepared images, and features of them and the extractor where they are there.
    scratch: a folder for what is made. Metrics that need the cross-check are left out.
    UserError when the export or the data are missing, or not those of the score.
    """
    try:
        settings = Settings(**score.settings)  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(f"{model_folder}: its score file is not one of this version") from error
    if not (score.n_fake and score.real_sha256 and score.resize and score.format):
        raise UserError(f"{model_folder}: its score file is not one of this version")
    space = Space.parse(f"{score.extractor}.{score.resize}.{score.format}")
    run = generators.read_exported_run(model_folder)
    if run.digest != score.run:
        raise UserError(
            f"{model_folder} is the run {run.digest[:10]}, but its score file is of "
            f"{score.run[:10]}; export that run again"
        )
    store = data / run.store
    if not (store / artifacts.MANIFEST).exists():
        words = shlex.join([*run.dataset.as_words(), "--no-config", "--out", str(store)])
        raise UserError(f"there is no {store}; `python -m fpa prepare {words}` makes it")
    _, manifest = open_store(store)
    if manifest.images_sha256 != score.real_sha256:
        raise UserError(
            f"{store} holds other images than {score.dataset} was scored against (digest "
            f"{manifest.images_sha256[:12]}..., expected {score.real_sha256[:12]}...)"
        )
    described = data / artifacts.extractor(space.extractor)
    extractor = described if described.exists() else extractors.obtained(space.extractor, scratch)
    real = data / artifacts.real_features(store.name, space)
    if not real.exists():
        real = scratch / artifacts.real_features(store.name, space)
    known = features.of_store(store, space, extractor, device, real)
    model = generators.load_export(model_folder)
    model.to(device)
    images, fake = scratch / "samples.npy", scratch / f"features.{space}.npy"
    bar = Progress(sampled, f"sampling {model_folder.name}", "images")
    chunks = sampling.sample_chunks(model.ema, model.latent_dim, sampled, settings.seed, device)
    sampling.save(images, chunks, sampled, {}, bar)
    bar.close()
    features.compute_file(images, space, extractor, device, fake, score.n_fake)
    both = pair(choose(known, score.n_real, settings.seed), features.load(fake))
    return file_digest(images) == score.fake_sha256, measure(both, None, settings)


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
