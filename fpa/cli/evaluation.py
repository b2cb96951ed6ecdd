"""Verbs about features and scores: of a run's samples, and of anybody's images by a protocol."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fpa.cli import kinds
from fpa.cli.options import (
    COUNT,
    DEVICE,
    WEIGHTS,
    checkpoint,
    folder,
    option,
    reads,
    refuse,
    seed,
    verb,
    whole,
    writes,
)
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest, load_array, save_npz
from fpa.core.progress import log
from fpa.core.registry import load_plugins
from fpa.data.sources import store_name
from fpa.data.store import open_store
from fpa.evaluation import evaluate, protocols, scores
from fpa.evaluation import features as feature_files
from fpa.evaluation import reference as references
from fpa.evaluation.extractors import obtain
from fpa.evaluation.image_sets import open_images
from fpa.evaluation.memorisation import search
from fpa.evaluation.metrics import METRICS, metrics_of_images
from fpa.evaluation.precision_recall import save_real
from fpa.evaluation.protocols import Protocol, Space
from fpa.experiment.config import Config, check_config, read_config, resolve_dataset
from fpa.reporting.tables import compare_runs
from fpa.runs import devices

CONFIG = "config.yaml"


@verb(
    option("name", "inception_v3, efficientnet_lite0-<n>px, dinov2_vitl14, ..."),
    WEIGHTS,
    writes(kinds.EXTRACTOR, "JSON file that describes the extractor"),
)
def extractor(options: argparse.Namespace) -> None:
    found = obtain(options.name, options.weights, Path(options.out))
    for file in found.weights.values():
        log.info("%s: %s (SHA-256 %s...)", found.name, file.path, file.sha256[:12])


@verb(
    option("images", "uint8 .npy of shape (N, C, H, W), or a prepared data set's folder"),
    reads("--extractor", kinds.EXTRACTOR, "from the verb extractor", required=True),
    option("--count", "only the first so many (all)", type=COUNT, default=0),
    option("--space", "EXTRACTOR.RESIZE.FORMAT", default="efficientnet_lite0-96px.clean.array"),
    writes(kinds.FEATURES, ".npy; a .json goes beside it"),
    *DEVICE,
)
def features(options: argparse.Namespace) -> None:
    feature_files.compute_file(
        Path(options.images),
        Space.parse(options.space),
        options.extractor,
        devices.choose(options.device, options.threads),
        Path(options.out),
        options.count,
    )


@verb(
    reads("features", kinds.FEATURES, "features of the real images, .npy"),
    option("--most", "images, drawn at random, at most", type=COUNT, default=10_000),
    seed("seed of the draw"),
    writes(kinds.RADII, ".npz"),
)
def radii(options: argparse.Namespace) -> None:
    real = feature_files.load(options.features)
    save_real(options.out, real.values, real.info, options.most, options.seed)


# Where data sets, networks and protocols come from.
PLACE = (
    option("--config", f"experiment that names data sets ({CONFIG}, if it exists)"),
    folder("--data", "folder of data sets and extractors (the experiment's, or data)"),
    WEIGHTS,
    option("--digest", "of the reference, or its beginning", metavar="SHA256"),
    *DEVICE,
)


@verb(
    option("real", "a data set, or a folder, archive or .npy file of images", metavar="REAL"),
    option("--protocol", "paper, clean, quick or one of the experiment's", default="quick"),
    option("--most", "features that are kept beside the moments", type=whole(0), default=10_000),
    seed("seed of their draw"),
    *PLACE,
    writes(
        kinds.REFERENCE,
        "default: references/ in the data folder, named by its digest",
        required=False,
    ),
)
def reference(options: argparse.Namespace) -> None:
    config, place, protocol = _configured(options, options.protocol)
    real, name = _real(options.real, options, config, None)
    made = evaluate.make_reference(real, protocol, place, name, options.most, options.seed)
    file = f"{name}-{protocol.space}-{made.digest[:10]}.npz"
    out = Path(options.out or place.data / "references" / file)
    references.save(out, made)
    log.info("%s: %s images, digest %s", out, f"{made.n_images:,}", made.digest)


@verb(
    folder("run", "folder of the finished run; with --against, any images"),
    option("--against", "score images: a data set, folder or reference", metavar="REAL"),
    *PLACE,
    reads("--fake", kinds.FEATURES, "features of the run's samples"),
    reads("--real", kinds.FEATURES, "features of the real images"),
    reads(
        "--check",
        kinds.FEATURES,
        "fake and real features of clean-fid's and of torch-fidelity's half of the check",
        nargs=4,
    ),
    reads("--radii", kinds.RADII, "from the verb radii; computed if it is not given"),
    option("--protocol", "with --against, how images are scored (quick); else a name for tables"),
    checkpoint("that was sampled from (as the samples say, else last)", None),
    option(
        "--metrics",
        f"{', '.join(metrics_of_images())}, and, with --check, "
        f"{', '.join(name for name, metric in METRICS.items() if metric.needs_cross_check)} "
        "(fid and kid; with --against, all but the last)",
        nargs="+",
    ),
    option("--frechet", "its form", choices=["symmetric", "clean_fid"], default="symmetric"),
    option("--n-real", "real images, drawn at random (all)", type=whole(2)),
    option("--kid-subsets", "subsets that KID averages over", type=whole(1, 100_000), default=100),
    option("--kid-subset-size", "images a subset, at most", type=whole(2), default=1000),
    option("--groups", "parts of the samples, for sampling errors", type=whole(2), default=10),
    seed("seed of all random subsets"),
    writes(kinds.SCORE, ".json; with --against it may be left out", required=False),
)
def score(options: argparse.Namespace) -> None:
    if options.against:
        _score_images(options)
        return
    for name in ("fake", "real", "out"):
        if not getattr(options, name):
            raise UserError(
                f"scoring a run takes --{name} (python -m fpa score --help); to score a folder of "
                "images, name what to compare it with by --against"
            )
    refuse(options, "is for images that --against scores", "--config", "--data", "--weights")
    refuse(options, "is of a reference, which --against names", "--digest")
    chosen = [METRICS.find(name, "--metrics") for name in options.metrics or ("fid", "kid")]
    if not any(m.of_features and (options.check or not m.needs_cross_check) for m in chosen):
        raise UserError(
            f"--metrics: {', '.join(m.name for m in chosen)} cannot be measured of these features; "
            "path lengths take python -m fpa path-length, and what torch-fidelity measures --check"
        )
    result = evaluate.score_run(
        Path(options.run),
        options.fake,
        options.real,
        options.check,
        _settings(options, ("fid", "kid")),
        protocol=options.protocol or "by hand",
        checkpoint=options.checkpoint,
        n_real=options.n_real,
        radii=options.radii,
    )
    result.write(options.out)
    log.info("%s", result.summary())


def _score_images(options: argparse.Namespace) -> None:
    of_runs = ("--fake", "--real", "--check", "--radii", "--checkpoint")
    refuse(options, "is for a run's features, and not for --against", *of_runs)
    config, place, protocol = _configured(options, options.protocol or "quick")
    if options.n_real:
        protocol = protocol.model_copy(update={"n_real": options.n_real})
    images = open_images(options.run)
    real, against = _real(options.against, options, config, images.shape[-2])
    result = evaluate.evaluate(
        images,
        real,
        protocol,
        place,
        _settings(options, metrics_of_images()),
        name=Path(options.run).resolve().name,
        against=against,
        digest=options.digest or "",
    )
    if options.out:
        result.write(options.out)
    print(result.summary())


def _settings(options: argparse.Namespace, metrics: Sequence[str]) -> scores.Settings:
    """How to measure; `metrics` where none are named."""
    return scores.Settings(
        options.metrics or metrics,
        options.frechet,
        options.kid_subsets,
        options.kid_subset_size,
        options.groups,
        options.seed,
    )


def _configured(
    options: argparse.Namespace, name: str
) -> tuple[Config | None, evaluate.EvaluationContext, Protocol]:
    """The configuration (None where there is none and none was asked for), and of it the place and
    the protocol of this name."""
    config, own = None, None
    data, weights = "data", None
    if options.config is not None or Path(CONFIG).exists():
        config = check_config(read_config(options.config or CONFIG))
        load_plugins(config.plugins)
        data, weights = config.data, config.inception_weights
        own = config.evaluation.protocols.get(name)
    place = evaluate.EvaluationContext(
        options.data or data, options.weights or weights, options.device, options.threads
    )
    return config, place, protocols.resolve(name, own.model_dump() if own else {}, "--protocol")


def _real(
    named: str, options: argparse.Namespace, config: Config | None, size: int | None
) -> tuple[str, str]:
    """The path of the real images, and what they are called.

    A data set is one of the configuration or of this project, at the size (px) of the images.
    """
    if Path(named).exists():
        return named, Path(named).resolve().name
    path = (options.config or CONFIG) if config else None
    try:
        spec, folder = resolve_dataset(named, [], path)
        if size and spec.resolution != size:
            spec, folder = resolve_dataset(named, [f"resolution={size}"], path)
    except UserError as error:
        raise UserError(f"there is nothing at {named}, and {error}") from error
    if options.data:
        folder = Path(options.data) / store_name(spec)
    if not (folder / artifacts.MANIFEST).exists():
        raise UserError(
            f"the data set {named} is not prepared at {spec.resolution} px; run python -m fpa "
            f"prepare {named} resolution={spec.resolution} --out {folder}"
            + (f" --config {path}" if path else " --no-config")
        )
    return str(folder), named


@verb(
    option("one", "a scored run's folder, or one of its score files", metavar="A"),
    option("two", "another", metavar="B"),
)
def compare(options: argparse.Namespace) -> None:
    print(compare_runs(Path(options.one), Path(options.two)))


def _check_features(
    path: str, found: feature_files.Features, digest: str, count: int, images: str
) -> None:
    """UserError unless features are of these images: of all, or of the first of them."""
    expected = found.info.count or count
    if found.info.images_sha256 != digest or len(found.values) != expected or expected > count:
        raise UserError(
            f"{path} has the features of other images than {images} holds ({len(found.values):,} "
            f"there, {count:,} here); make them of these by python -m fpa features"
        )


@verb(
    reads("samples", kinds.IMAGES, "samples, .npy"),
    reads("--fake", kinds.FEATURES, "their features", required=True),
    reads("--real", kinds.FEATURES, "features of the real images", required=True),
    folder("--store", "the prepared data set; without it, distances alone are saved"),
    option("--count", "samples that are shown", type=COUNT, default=10),
    writes(kinds.NEIGHBOURS, ".npz"),
)
def neighbours(options: argparse.Namespace) -> None:
    both = scores.pair(feature_files.load(options.real), feature_files.load(options.fake))
    images = None
    if options.store:
        images, manifest = open_store(options.store)
        _check_features(options.real, both.real, manifest.images_sha256, len(images), options.store)
    samples = load_array(options.samples, mmap_mode="r")
    digest = file_digest(options.samples)
    _check_features(options.fake, both.fake, digest, len(samples), options.samples)
    found = search(both.real.values, both.fake.values, images, samples, options.count)
    save_npz(options.out, **found)
