"""Scores: of any set of images by a protocol, of finished runs, and of published models again."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.lazy import torch
from fpa.core.progress import Progress, log
from fpa.core.provenance import STAGES
from fpa.data.store import open_store
from fpa.evaluation import extractors, features, precision_recall, protocols, reference, sampling
from fpa.evaluation.distances import Estimate
from fpa.evaluation.extractors import PAIRS, ExtractorInfo
from fpa.evaluation.features import Features
from fpa.evaluation.image_sets import ImageFiles, content_digest, first, open_images
from fpa.evaluation.metrics import METRICS, Conditions, metrics_of_images
from fpa.evaluation.path_length import PathLength
from fpa.evaluation.protocols import Protocol, Space
from fpa.evaluation.scores import (
    Pair,
    Score,
    Settings,
    check_computable,
    choose,
    measure,
    pair,
)
from fpa.runs import devices
from fpa.runs.folder import RunFolder, TrainingSummary


class EvaluationContext:
    """Where features are computed: a data folder, which keeps descriptions of networks and the
    features of prepared data sets, and a device."""

    def __init__(
        self, data: str | Path, weights: str | None = None, device: str = "auto", threads: int = 0
    ) -> None:
        """weights: folder of the user's own weights files. device: auto, cpu or cuda."""
        self.data, self.weights = Path(data), weights
        self.device = devices.choose(device, threads)

    def extractor(self, name: str) -> Path:
        """The description of a network, whose weights are found or downloaded the first time."""
        path = self.data / artifacts.extractor(name)
        if not path.exists():
            extractors.obtain(name, self.weights, path)
        return path

    def features(self, images: Any, protocol: Protocol, what: str) -> Features:
        """The features of images (N, C, H, W) by a protocol; what: they are, for the progress bar."""
        space = protocol.space
        files = isinstance(images, ImageFiles)
        if files and images.jpeg and space.format == "jpeg":
            # As the protocol saves images: once is enough.
            space = space._replace(format="array")
        elif files and images.jpeg:
            log.warning("%s: JPEG files, but protocol %s has none", what, protocol.name)
        bar = Progress(len(images), f"features of {what}", "images")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "features.npy"
            network = self.extractor(space.extractor)
            digest = {"images_sha256": content_digest(images)}
            features.compute(images, space, network, self.device, out, digest, bar.update)
            found = features.load(out)
            bar.close()
            values = np.array(found.values)
        info = found.info.model_copy(update={"format": protocol.format})
        return Features(values, None, info)

    def real_features(
        self, real: Any, protocol: Protocol, images: Any = None
    ) -> tuple[Features, tuple[int, int]]:
        """The features of real images and their height and width (px); kept for a prepared data set.

        images: what `open_images` gave of them, if they are open already.
        """
        images = open_images(real) if images is None else images
        size = _height_and_width(images)
        store = Path(real) if isinstance(real, (str, Path)) else None
        if store is None or not (store / artifacts.MANIFEST).exists():
            return self.features(images, protocol, "real images"), size
        path = store.parent / artifacts.real_features(store.name, protocol.space)
        if not path.exists():
            network = self.extractor(protocol.extractor)
            features.compute_file(store, protocol.space, network, self.device, path)
        found = features.load(path)
        manifest = open_store(store)[1]
        whole = len(found.values) == manifest.count
        if found.info.images_sha256 != manifest.images_sha256 or not whole:
            raise UserError(f"{path} has features of other images; delete it and run again")
        return found, size


def evaluate(
    images: Any,
    real: Any,
    protocol: str | Mapping[str, Any] | Protocol,
    context: EvaluationContext,
    settings: Settings | None = None,
    *,
    name: str = "images",
    against: str = "",
    digest: str = "",
) -> Score:
    """The score of images against real ones, with all that it was computed from.

    images: see `image_sets.open_images`; of more than the protocol takes, the first so many. real:
    the same, or a file that `reference.save` wrote. protocol: a known one's name, or the settings
    of one of your own (`extractor`, `resize`, `format`, `n_fake`, `n_real`). name, against: what
    both are called in tables (a reference knows its own name). digest: of the reference, to be sure
    of it.

    UserError for images that cannot be read, sets of different sizes, a reference made in another
    way than the protocol's, and networks that cannot be had. Features that are not finite give the
    status `nan` and no metrics.
    """
    protocol = _of_images(protocol)
    settings = settings or Settings(metrics_of_images())
    for metric in settings.metrics:
        named = METRICS.find(metric, "metrics")
        if named.needs_cross_check:
            raise UserError(f"{metric} needs the cross-check of a workflow; leave it out here")
        if not named.of_features:
            raise UserError(f"{metric} does not follow from images; leave it out here")
    kept = _is_reference(real)
    if digest and not kept:
        raise UserError("only a reference file has a digest to compare; leave it out here")
    opened = open_images(images)
    if kept:
        known = reference.load(real, digest)
    else:
        opened_real = open_images(real)
    n_fake = min(len(opened), protocol.n_fake)
    found = Conditions.of(protocol, settings.groups, False)._replace(n_fake=n_fake)
    check_computable(settings.metrics, found)
    # Before images are read: weights may be missing.
    context.extractor(protocol.extractor)
    if not kept:
        _check_count(opened_real, protocol)
        _check_sizes(_height_and_width(opened), _height_and_width(opened_real))
    if len(opened) < protocol.n_fake:
        log.warning(
            "protocol %s takes %s images, found %s: this score does not compare with those of %s",
            *(protocol.name, f"{protocol.n_fake:,}", f"{len(opened):,}", f"{protocol.n_fake:,}"),
        )
    elif len(opened) > protocol.n_fake:
        opened = first(opened, protocol.n_fake)
    if kept:
        moments, count, real_features = known.moments, known.n_images, known.part
        against = real_features.info.name or ""
        # A reference is of square images.
        size = (real_features.info.image_size,) * 2
        if protocol.n_real not in (None, count):
            raise UserError(
                f"{real} is of {count:,} real images, but protocol {protocol.name} takes "
                f"{protocol.n_real:,}; make it by that protocol"
            )
    else:
        everything, size = context.real_features(real, protocol, opened_real)
        real_features = choose(everything, protocol.n_real, settings.seed)
        moments, count = None, len(real_features.values)
    own = _height_and_width(opened)
    _check_sizes(own, size)
    fake_features = context.features(opened, protocol, name)
    main = pair(real_features, fake_features)
    metrics = measure(main, None, settings, None, moments)
    return Score(
        **measured(main, protocol.name, settings, count, metrics),
        dataset=against or _called(real),
        resolution=own[0],
        model=name,
        seed=None,
        run=fake_features.info.images_sha256,
        reference_sha256=known.digest if kept else None,
        checkpoint="given",
        checkpoint_kimg=None,
        kimg=None,
        generator_parameters=None,
        stages=stages(main),
    )


def make_reference(
    real: Any,
    protocol: str | Mapping[str, Any] | Protocol,
    context: EvaluationContext,
    name: str,
    most: int,
    seed: int = 0,
) -> reference.Reference:
    """Reference statistics of real images by a protocol, ready to be saved.

    name: of the images, for tables. most: features that are kept beside the moments, drawn at random.
    """
    protocol = _of_images(protocol)
    opened = open_images(real)
    context.extractor(protocol.extractor)
    _check_count(opened, protocol)
    found, (size, width) = context.real_features(real, protocol, opened)
    if width != size:
        raise UserError(
            f"the images are {width} x {size} px, but a reference has one number for their size; "
            "crop them to squares, or score against the images themselves"
        )
    chosen = choose(found, protocol.n_real, seed)
    info = chosen.info.model_copy(update={"image_size": size, "name": name})
    return reference.compute(chosen._replace(info=info), most, seed)


def resolve(protocol: str | Mapping[str, Any] | Protocol) -> Protocol:
    """A protocol from its name or settings; UserError when there is no such one."""
    if isinstance(protocol, Protocol):
        return protocol
    if isinstance(protocol, str):
        return protocols.resolve(protocol, {}, "protocol")
    if not isinstance(protocol, Mapping):
        raise UserError(f"protocol: expected a name or settings, found {protocol!r}")
    settings = dict(protocol)
    name = settings.pop("name", "own")
    unknown = settings.keys() - Protocol.__dataclass_fields__.keys()
    if unknown:
        raise UserError(
            f"protocol: unknown setting '{min(unknown)}'; known are extractor, resize, format, "
            "n_fake, n_real, name"
        )
    return protocols.resolve(name, settings, "protocol")


def _of_images(protocol: str | Mapping[str, Any] | Protocol) -> Protocol:
    """A protocol that scores images; UserError for one that measures paths between latents."""
    found = resolve(protocol)
    if found.of_paths:
        raise UserError(
            f"protocol {found.name} measures paths between a generator's latents, which images do "
            "not show; use python -m fpa path-length for a finished run"
        )
    return found


def _check_count(real: Any, protocol: Protocol) -> None:
    """UserError for fewer real images than the protocol takes."""
    if protocol.n_real is not None and protocol.n_real > len(real):
        raise UserError(
            f"n_real is {protocol.n_real:,}, but there are only {len(real):,} real images; lower it, "
            "or leave it out for all"
        )


def _check_sizes(images: tuple[int, int], real: tuple[int | None, int | None]) -> None:
    """UserError unless height and width (px) of images are those of the real ones."""
    if images != real:
        raise UserError(
            f"the images are {images[1]} x {images[0]} px, the real ones {real[1]} x {real[0]} px; "
            "scores need both at one size, since resizing changes every distance"
        )


def _is_reference(real: Any) -> bool:
    return isinstance(real, (str, Path)) and Path(real).suffix == ".npz"


def _height_and_width(images: Any) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return height, width


def _called(real: Any) -> str:
    return Path(real).stem if isinstance(real, (str, Path)) else "real images"


# Scores of finished runs ---------------------------------------------------------------------


def score_run(
    run_folder: Path,
    fake: str | Path,
    real: str | Path,
    check: Sequence[str | Path] | None,
    settings: Settings,
    protocol: str,
    checkpoint: str,
    n_real: int | None,
    radii: str | Path | None = None,
) -> Score:
    """A run's score.

    fake, real: feature files of its samples and of the real images; check: for the cross-check,
    fake and real features of clean-fid, then of torch-fidelity. checkpoint: `best` or `last`, which
    the samples are from. n_real: real images, drawn at random (None: all). radii: of the real
    images, for precision and recall (None: computed).
    """

    def load(fake: str | Path, real: str | Path) -> Pair:
        return pair(choose(features.load(real), n_real, settings.seed), features.load(fake))

    main = load(fake, real)
    n_compared = precision_recall.images(len(main.real.values), len(main.fake.values))
    manifold = None
    if radii:
        everything = features.load(real)
        manifold = precision_recall.load_real(radii, everything.values, everything.info)
        if len(manifold.centres) != n_compared:
            raise UserError(
                f"{radii} has the radii of {len(manifold.centres):,} real images, expected "
                f"{n_compared:,}; make it again, or leave it out"
            )
    libraries = None
    if check:
        # Read once where the protocol's space is one of the check's, and measured once.
        same = [str(file) for file in check[:2]] == [str(fake), str(real)]
        libraries = (main if same else load(*check[:2]), load(*check[2:]))
        for library in libraries:
            for ours, theirs in zip(main, library, strict=True):
                if ours.info.images_sha256 != theirs.info.images_sha256:
                    raise UserError(
                        "the features of the cross-check are of other images than those of the "
                        "score; name the four that are of the same (--check)"
                    )
    summary = RunFolder(run_folder).read_summary()
    if summary.images_sha256 != main.real.info.images_sha256:
        raise UserError(
            f"{real} is of other images than {run_folder} was trained on; prepare those again, or "
            "delete the run to train it on these"
        )
    metrics = measure(main, libraries, settings, manifold)
    return Score(
        **_trained(summary, checkpoint),
        **measured(main, protocol, settings, len(main.real.values), metrics),
        # What made the files says by which version; only the score is made here.
        stages={**summary.stages, **stages(main)},
    )


def score_paths(
    run_folder: Path,
    length: PathLength,
    network: ExtractorInfo,
    protocol: str,
    checkpoint: str,
    seed: int,
) -> Score:
    """A run's score of a path length. network: the description of LPIPS's files."""
    summary = RunFolder(run_folder).read_summary()
    known = math.isfinite(length.mean)
    return Score(
        **_trained(summary, checkpoint),
        status="ok" if known else "nan",
        metrics={"ppl": Estimate(length.mean, length.error)} if known else {},
        protocol=protocol,
        extractor=network.name,
        resize=PAIRS,
        format="array",
        # VGG16's file and LPIPS's own.
        weights_sha256="+".join(file.sha256 for file in network.weights.values()),
        settings={"seed": seed, **length.settings()},
        n_real=None,
        n_fake=length.n,
        n_precision_recall=None,
        not_finite=0,
        stages={**summary.stages, "score": STAGES["score"]},
        versions=provenance.versions(),
    )


def _trained(summary: TrainingSummary, checkpoint: str) -> dict[str, Any]:
    """What a score says of the training that is scored."""
    run = summary.run
    return {
        "dataset": run["dataset"]["name"],
        "resolution": run["dataset"]["resolution"],
        "model": run["model"]["name"],
        "seed": run["seed"],
        "run": summary.digest,
        "trained_sha256": summary.weights_sha256,
        "kimg": summary.kimg,
        "checkpoint": checkpoint,
        "checkpoint_kimg": summary.best.kimg
        if summary.best and checkpoint == "best"
        else summary.kimg,
        "generator_parameters": summary.parameters.get("ema"),
    }


def measured(
    main: Pair,
    protocol: str,
    settings: Settings,
    n_real: int,
    metrics: Mapping[str, Estimate],
) -> dict[str, Any]:
    """What a score says of its measurement."""
    info = main.fake.info
    n_compared = precision_recall.images(len(main.real.values), len(main.fake.values))
    return {
        "status": "ok" if metrics else "nan",
        "metrics": dict(metrics),
        "protocol": protocol,
        **{key: getattr(info, key) for key in ("extractor", "resize", "format", "weights_sha256")},
        "settings": settings.as_json(),
        "n_real": n_real,
        "n_fake": len(main.fake.values),
        "n_precision_recall": n_compared if {"precision", "recall"} & metrics.keys() else None,
        "not_finite": info.not_finite,
        "real_sha256": main.real.info.images_sha256,
        "fake_sha256": info.images_sha256,
        "versions": provenance.versions(),
    }


def stages(main: Pair) -> dict[str, int]:
    """The versions of the stages that made two sets of features and their score."""
    made = (part.info.stages for part in main)
    return {**next(made), **next(made), "score": STAGES["score"]}


# A published model's scores, made again ------------------------------------------------------

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

    sampled: images that were drawn, of which the score may be of the first only. data: the data
    folder, with the prepared images, and features of them and the extractor where they are there.
    scratch: a folder for what is made. Metrics that need the cross-check are left out.
    UserError when the export or the data are missing, or not those of the score.
    """
    # Only here: scores of features need no torch.
    from fpa.runs import generators

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
    known = features.load(real)
    if known.info.images_sha256 != manifest.images_sha256 or len(known.values) != manifest.count:
        raise UserError(
            f"{real} has features of other images than {store} holds; delete it and run again"
        )
    model = generators.load_export(model_folder)
    model.to(device)
    images, fake = scratch / "samples.npy", scratch / f"features.{space}.npy"
    bar = Progress(sampled, f"sampling {model_folder.name}", "images")
    chunks = sampling.sample_chunks(model.ema, model.latent_dim, sampled, settings.seed, device)
    sampling.save(images, chunks, sampled, {}, bar)
    bar.close()
    features.compute_file(images, space, extractor, device, fake, score.n_fake)
    both = pair(choose(known, score.n_real, settings.seed), features.load(fake))
    return Rescored(file_digest(images) == score.fake_sha256, measure(both, None, settings))


def _extractor(name: str, data: Path, scratch: Path) -> Path:
    """The description of a feature extractor: the data folder's, or one that is found now."""
    known = data / artifacts.extractor(name)
    if known.exists():
        return known
    found = scratch / artifacts.extractor(name)
    if not found.exists():
        extractors.obtain(name, None, found)
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
