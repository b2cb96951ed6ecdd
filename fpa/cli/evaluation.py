"""Verbs about features and scores: of a run's samples, and of anybody's images by a protocol."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fpa.cli import kinds
from fpa.cli.options import COUNT, Add, add_checkpoint, add_device, add_seed, verb, whole
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


def _extractor(add: Add) -> None:
    add("name", help="inception_v3, efficientnet_lite0-<n>px, dinov2_vitl14, ...")
    add(
        "--weights",
        type=kinds.there,
        metavar="DIR",
        help="folder with the network's files, if you have them",
    )
    add(
        "--out",
        type=kinds.output(kinds.EXTRACTOR),
        metavar="FILE",
        required=True,
        help="JSON file that describes the extractor",
    )


@verb(_extractor)
def extractor(options: argparse.Namespace) -> None:
    found = obtain(options.name, options.weights, Path(options.out))
    for file in found.weights.values():
        log.info("%s: %s (SHA-256 %s...)", found.name, file.path, file.sha256[:12])


def _features(add: Add) -> None:
    add("images", help="uint8 .npy of shape (N, C, H, W), or a prepared data set's folder")
    add(
        "--extractor",
        type=kinds.existing(kinds.EXTRACTOR),
        metavar="FILE",
        required=True,
        help="from python -m fpa extractor",
    )
    add("--count", type=COUNT, default=0, help="only the first so many (all)")
    add("--space", default="efficientnet_lite0-96px.clean.array", help="EXTRACTOR.RESIZE.FORMAT")
    add(
        "--out",
        type=kinds.output(kinds.FEATURES),
        metavar="FILE",
        required=True,
        help=".npy; a .json goes beside it",
    )
    add_device(add)


@verb(_features)
def features(options: argparse.Namespace) -> None:
    feature_files.compute_file(
        Path(options.images),
        Space.parse(options.space),
        options.extractor,
        devices.choose(options.device, options.threads),
        Path(options.out),
        options.count,
    )


def _radii(add: Add) -> None:
    add(
        "features",
        type=kinds.existing(kinds.FEATURES),
        metavar="FILE",
        help="features of the real images, .npy",
    )
    add("--most", type=COUNT, default=10_000, help="images, drawn at random, at most")
    add_seed(add, "seed of the draw")
    add("--out", type=kinds.output(kinds.RADII), metavar="FILE", required=True, help=".npz")


@verb(_radii)
def radii(options: argparse.Namespace) -> None:
    real = feature_files.load(options.features)
    save_real(options.out, real.values, real.info, options.most, options.seed)


def _add_place(add: Add) -> None:
    """Where data sets, networks and protocols come from."""
    add(
        "--config", default=CONFIG, help=f"experiment that names data sets ({CONFIG}, if it exists)"
    )
    add(
        "--data",
        metavar="DIR",
        help="folder of data sets and extractors (the experiment's, or data)",
    )
    add(
        "--weights",
        type=kinds.there,
        metavar="DIR",
        help="folder with the network's weights, if you have them",
    )
    add("--digest", default="", metavar="SHA256", help="of the reference, or its beginning")
    add_device(add)


def _reference(add: Add) -> None:
    add("real", metavar="REAL", help="a data set, or a folder, archive or .npy file of images")
    add("--protocol", default="quick", help="paper, clean, quick or one of the experiment's")
    add("--most", type=whole(0), default=10_000, help="features that are kept beside the moments")
    add_seed(add, "seed of their draw")
    _add_place(add)
    add(
        "--out",
        type=kinds.output(kinds.REFERENCE),
        metavar="FILE",
        help="default: references/ in the data folder, named by its digest",
    )


@verb(_reference)
def reference(options: argparse.Namespace) -> None:
    config = _configured(options)
    place, protocol = _place(options, config), _protocol(config, options.protocol)
    real, name = _real(options.real, options, config, None)
    made = evaluate.make_reference(real, protocol, place, name, options.most, options.seed)
    file = f"{name}-{protocol.space}-{made.digest[:10]}.npz"
    out = Path(options.out or place.data / "references" / file)
    references.save(out, made)
    log.info("%s: %s images, digest %s", out, f"{made.n_images:,}", made.digest)


def _score(add: Add) -> None:
    checked = [name for name, metric in METRICS.items() if metric.needs_cross_check]
    add("run", metavar="DIR", help="folder of the finished run; with --against, any images")
    add("--against", metavar="REAL", help="score images: a data set, folder or reference")
    _add_place(add)
    add(
        "--fake",
        type=kinds.existing(kinds.FEATURES),
        metavar="FILE",
        help="features of the run's samples",
    )
    add(
        "--real",
        type=kinds.existing(kinds.FEATURES),
        metavar="FILE",
        help="features of the real images",
    )
    add(
        "--check",
        nargs=4,
        type=kinds.existing(kinds.FEATURES),
        metavar="FILE",
        help="fake and real features of clean-fid's and of torch-fidelity's half of the check",
    )
    add(
        "--radii",
        type=kinds.existing(kinds.RADII),
        metavar="FILE",
        help="from python -m fpa radii; computed if it is not given",
    )
    add("--protocol", help="with --against, how images are scored (quick); else a name for tables")
    add_checkpoint(add, "that was sampled from")
    add(
        "--metrics",
        nargs="+",
        help=f"{', '.join(metrics_of_images())}, and, with --check, {', '.join(checked)} "
        "(fid and kid; with --against, all but the last)",
    )
    add("--frechet", choices=["symmetric", "clean_fid"], default="symmetric", help="its form")
    add("--n-real", type=whole(2), help="real images, drawn at random (all)")
    add("--kid-subsets", type=whole(1, 100_000), default=100, help="subsets that KID averages over")
    add("--kid-subset-size", type=whole(2), default=1000, help="images a subset, at most")
    add("--groups", type=whole(2), default=10, help="parts of the samples, for sampling errors")
    add_seed(add, "seed of all random subsets")
    add(
        "--out",
        type=kinds.output(kinds.SCORE),
        metavar="FILE",
        help=".json; with --against it may be left out",
    )


@verb(_score)
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
    if options.digest:
        raise UserError("--digest is of a reference; name that by --against, or leave it out")
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
    """Score a set of images against a data set, other images, or a reference."""
    for name in ("fake", "real", "check", "radii"):
        if getattr(options, name):
            raise UserError(f"--{name} is for a run's features; leave it out with --against")
    config = _configured(options)
    place, protocol = _place(options, config), _protocol(config, options.protocol or "quick")
    if options.n_real:
        protocol = replace(protocol, n_real=options.n_real)
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
        digest=options.digest,
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


def _configured(options: argparse.Namespace) -> Config | None:
    """The configuration; None where there is none and none was asked for."""
    if options.config == CONFIG and not Path(CONFIG).exists():
        return None
    config = check_config(read_config(options.config))
    load_plugins(config.plugins)
    return config


def _place(options: argparse.Namespace, config: Config | None) -> evaluate.EvaluationContext:
    weights = options.weights or (config.inception_weights if config else None)
    data = options.data or (config.data if config else "data")
    return evaluate.EvaluationContext(data, weights, options.device, options.threads)


def _protocol(config: Config | None, name: str) -> Protocol:
    """A protocol of the experiment, or a known one."""
    own = config.evaluation.protocols.get(name) if config else None
    return protocols.resolve(name, own.model_dump() if own else {}, "--protocol")


def _real(
    named: str, options: argparse.Namespace, config: Config | None, size: int | None
) -> tuple[str, str]:
    """The path of the real images, and what they are called.

    A data set is one of the configuration or of this project, at the size (px) of the images.
    """
    if Path(named).exists():
        return named, Path(named).resolve().name
    path = options.config if config else None
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


def _compare(add: Add) -> None:
    add("one", metavar="A", help="a scored run's folder, or one of its score files")
    add("two", metavar="B", help="another")


@verb(_compare)
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


def _neighbours(add: Add) -> None:
    add("samples", type=kinds.existing(kinds.IMAGES), metavar="FILE", help="samples, .npy")
    add(
        "--fake",
        type=kinds.existing(kinds.FEATURES),
        metavar="FILE",
        required=True,
        help="their features",
    )
    add(
        "--real",
        type=kinds.existing(kinds.FEATURES),
        metavar="FILE",
        required=True,
        help="features of the real images",
    )
    add(
        "--store",
        metavar="DIR",
        help="the prepared data set; without it, distances alone are saved",
    )
    add("--count", type=COUNT, default=10, help="samples that are shown")
    add("--out", type=kinds.output(kinds.NEIGHBOURS), metavar="FILE", required=True, help=".npz")


@verb(_neighbours)
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
