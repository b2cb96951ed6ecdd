"""Scores: of any set of images by a protocol, and of finished runs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.progress import Progress, log
from fpa.core.provenance import STAGES
from fpa.evaluation import extractors, features, precision_recall, protocols, reference
from fpa.evaluation.distances import Estimate
from fpa.evaluation.extractors import PAIRS, ExtractorInfo
from fpa.evaluation.features import Features
from fpa.evaluation.image_sets import ImageFiles, content_digest, first, open_images
from fpa.evaluation.metrics import METRICS, Conditions, metrics_of_images
from fpa.evaluation.path_length import PathLength
from fpa.evaluation.protocols import Protocol
from fpa.evaluation.scores import (
    Pair,
    Score,
    Settings,
    check_computable,
    check_count,
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
        return extractors.obtained(name, self.data, self.weights)

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

    def real_features(self, real: Any, protocol: Protocol, images: Any) -> Features:
        """The features of real images, which are kept for a prepared data set.

        images: what `open_images` gave of them.
        """
        store = Path(real) if isinstance(real, (str, Path)) else None
        if store is None or not (store / artifacts.MANIFEST).exists():
            return self.features(images, protocol, "real images")
        path = store.parent / artifacts.real_features(store.name, protocol.space)
        network = self.extractor(protocol.extractor)
        return features.of_store(store, protocol.space, network, self.device, path)


LOOKED_AT = 16
"""Images that tell whether a set is in colour."""


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
    protocol = resolve(protocol)
    settings = settings or Settings(metrics_of_images())
    for metric in settings.metrics:
        named = METRICS.find(metric, "metrics")
        if named.needs_cross_check:
            raise UserError(f"{metric} needs the cross-check of a workflow; leave it out here")
        if not named.of_features:
            raise UserError(f"{metric} does not follow from images; leave it out here")
    kept = isinstance(real, (str, Path)) and Path(real).suffix == ".npz"
    if digest and not kept:
        raise UserError("only a reference file has a digest to compare; leave it out here")
    opened = open_images(images)
    known = reference.load(real, digest) if kept else None
    opened_real: Any = None if known else open_images(real)
    n_fake = min(len(opened), protocol.n_fake)
    found = Conditions.of(protocol, settings.groups, False)._replace(n_fake=n_fake)
    check_computable(settings.metrics, found)
    # Before images are read: weights may be missing.
    context.extractor(protocol.extractor)
    if known:
        # A reference is of square images.
        size = (known.part.info.image_size,) * 2
        if protocol.n_real not in (None, known.n_images):
            raise UserError(
                f"{real} is of {known.n_images:,} real images, but protocol {protocol.name} takes "
                f"{protocol.n_real:,}; make it by that protocol"
            )
    else:
        check_count(protocol.n_real, len(opened_real))
        size = opened_real.shape[-2:]
    if opened.shape[-2:] != size:
        (height, width), (real_height, real_width) = opened.shape[-2:], size
        raise UserError(
            f"the images are {width} x {height} px, the real ones {real_width} x {real_height} px; "
            "scores need both at one size, since resizing changes every distance"
        )
    if opened_real is not None and opened.shape[1] != opened_real.shape[1]:
        in_colour = max(opened, opened_real, key=lambda found: found.shape[1])
        some = np.asarray(in_colour[:LOOKED_AT])
        if (some != some[:, :1]).any():
            said = ("in colour", "grey") if in_colour is opened else ("grey", "in colour")
            log.warning(
                "the images are %s, the real ones %s: the colours alone are a distance", *said
            )
    if len(opened) < protocol.n_fake:
        log.warning(
            "protocol %s takes %s images, found %s: this score does not compare with those of %s",
            *(protocol.name, f"{protocol.n_fake:,}", f"{len(opened):,}", f"{protocol.n_fake:,}"),
        )
    opened = first(opened, protocol.n_fake)
    if known:
        moments, count, real_features = known.moments, known.n_images, known.part
        against = real_features.info.name or ""
    else:
        everything = context.real_features(real, protocol, opened_real)
        real_features = choose(everything, protocol.n_real, settings.seed)
        moments, count = None, len(real_features.values)
    fake_features = context.features(opened, protocol, name)
    main = pair(real_features, fake_features)
    metrics = measure(main, None, settings, None, moments)
    return Score(
        **_measured(main, protocol.name, settings, count, metrics),
        dataset=against or (Path(real).stem if isinstance(real, (str, Path)) else "real images"),
        resolution=opened.shape[-2],
        model=name,
        seed=None,
        run=fake_features.info.images_sha256,
        reference_sha256=known.digest if known else None,
        checkpoint="given",
        checkpoint_kimg=None,
        kimg=None,
        generator_parameters=None,
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
    protocol = resolve(protocol)
    opened = open_images(real)
    context.extractor(protocol.extractor)
    check_count(protocol.n_real, len(opened))
    size, width = opened.shape[-2:]
    found = context.real_features(real, protocol, opened)
    if width != size:
        raise UserError(
            f"the images are {width} x {size} px, but a reference has one number for their size; "
            "crop them to squares, or score against the images themselves"
        )
    chosen = choose(found, protocol.n_real, seed)
    info = chosen.info.model_copy(update={"image_size": size, "name": name})
    return reference.compute(chosen._replace(info=info), most, seed)


def resolve(protocol: str | Mapping[str, Any] | Protocol) -> Protocol:
    """A protocol that scores images, from its name or settings.

    UserError when there is no such one, and for one that measures paths between latents.
    """
    if isinstance(protocol, str):
        protocol = protocols.resolve(protocol, {}, "protocol")
    elif isinstance(protocol, Mapping):
        settings = dict(protocol)
        protocol = protocols.resolve(settings.pop("name", "own"), settings, "protocol")
    elif not isinstance(protocol, Protocol):
        raise UserError(f"protocol: expected a name or settings, found {protocol!r}")
    if protocol.of_paths:
        raise UserError(
            f"protocol {protocol.name} measures paths between a generator's latents, which images do "
            "not show; use python -m fpa path-length for a finished run"
        )
    return protocol


SAMPLED = {"run": "run", "checkpoint": "checkpoint", "which": "network of the run"}
"""What samples are of, in words."""

# Scores of finished runs ---------------------------------------------------------------------


def score_run(
    run_folder: Path,
    fake: str | Path,
    real: str | Path,
    check: Sequence[str | Path] | None,
    settings: Settings,
    protocol: str,
    checkpoint: str | None,
    n_real: int | None,
    radii: str | Path | None = None,
) -> Score:
    """A run's score.

    fake, real: feature files of its samples and of the real images; check: for the cross-check,
    fake and real features of clean-fid, then of torch-fidelity. checkpoint: `best` or `last`, which
    the samples are from (None: the one that they say, else the last). n_real: real images, drawn at random (None: all). radii: of the real
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
    sampled = main.fake.info
    checkpoint = checkpoint or sampled.checkpoint or "last"
    own = {"run": summary.digest, "checkpoint": checkpoint, "which": "ema"}
    # Samples of earlier versions do not say what they are of.
    for key, expected in own.items() if sampled.run else ():
        if (found := getattr(sampled, key)) != expected:
            raise UserError(
                f"{fake} is of samples of another {SAMPLED[key]} than is scored: {found}, expected "
                f"{expected}; sample again (python -m fpa sample), or name what they are of"
            )
    metrics = measure(main, libraries, settings, manifold)
    return Score(
        **_trained(summary, checkpoint),
        **_measured(main, protocol, settings, len(main.real.values), metrics, summary.stages),
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
    run, best = summary.run, summary.best if checkpoint == "best" else None
    return {
        "dataset": run["dataset"]["name"],
        "resolution": run["dataset"]["resolution"],
        "model": run["model"]["name"],
        "seed": run["seed"],
        "run": summary.digest,
        "trained_sha256": summary.weights_sha256,
        "kimg": summary.kimg,
        "checkpoint": checkpoint,
        "checkpoint_kimg": best.kimg if best else summary.kimg,
        "generator_parameters": summary.parameters.get("ema"),
    }


def _measured(
    main: Pair,
    protocol: str,
    settings: Settings,
    n_real: int,
    metrics: Mapping[str, Estimate],
    stages: Mapping[str, int] = {},
) -> dict[str, Any]:
    """What a score says of its measurement. stages: versions of those that made what was sampled."""
    real, fake = main.real.info, main.fake.info
    n_compared = precision_recall.images(len(main.real.values), len(main.fake.values))
    return {
        "status": "ok" if metrics else "nan",
        "metrics": dict(metrics),
        "protocol": protocol,
        **{key: getattr(fake, key) for key in ("extractor", "resize", "format", "weights_sha256")},
        "settings": settings.as_json(),
        "n_real": n_real,
        "n_fake": len(main.fake.values),
        "n_precision_recall": n_compared if {"precision", "recall"} & metrics.keys() else None,
        "not_finite": fake.not_finite,
        "real_sha256": real.images_sha256,
        "fake_sha256": fake.images_sha256,
        # What made the files says by which version; only the score is made here.
        "stages": {**stages, **real.stages, **fake.stages, "score": STAGES["score"]},
        "versions": provenance.versions(),
    }
