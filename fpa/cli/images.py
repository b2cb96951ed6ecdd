"""Verbs that score anybody's images by a protocol, and make what they are scored against."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpa.cli.verbs import Add, add_device, verb
from fpa.core.errors import UserError
from fpa.core.progress import log

if TYPE_CHECKING:
    from fpa.evaluation.evaluate import Place
    from fpa.evaluation.protocols import Protocol

CONFIG = "config.yaml"


def add_place(add: Add) -> None:
    """Where data sets, networks and protocols come from."""
    add(
        "--config",
        default=CONFIG,
        help=f"experiment that names data sets ({CONFIG}, if it is there)",
    )
    add(
        "--data",
        metavar="DIR",
        help="folder of data sets and extractors (the experiment's, or data)",
    )
    add("--weights", metavar="DIR", help="folder with the network's weights, if you have them")
    add("--digest", default="", metavar="SHA256", help="of the reference, or its beginning")
    add_device(add)


def _reference(add: Add) -> None:
    add("real", metavar="REAL", help="a data set, or a folder, archive or .npy file of images")
    add("--protocol", default="quick", help="paper, clean, quick or one of the experiment's")
    add("--most", type=int, default=10_000, help="features that are kept beside the moments")
    add("--seed", type=int, default=0, help="seed of their draw")
    add_place(add)
    add(
        "--out", metavar="FILE", help="default: references/ in the data folder, named by its digest"
    )


@verb(_reference)
def reference(options: argparse.Namespace) -> None:
    """Save reference statistics of real images, to score images where the real ones are not."""
    from fpa.evaluation import evaluate, reference

    place, protocol = _place(options), _protocol(options, options.protocol)
    real, name = _real(options.real, options, None)
    made = evaluate.make_reference(real, protocol, place, name, options.most, options.seed)
    file = f"{name}-{protocol.space}-{made.digest[:10]}.npz"
    out = Path(options.out or place.data / "references" / file)
    if out.suffix != ".npz":
        raise UserError(f"--out: a reference is an .npz file, found {out.name}")
    reference.save(out, made)
    log.info("%s: %s images, digest %s", out, f"{made.n_images:,}", made.digest)


def score_images(options: argparse.Namespace) -> None:
    """Score a set of images against a data set, other images, or a reference."""
    from dataclasses import replace

    from fpa.evaluation.evaluate import METRICS_OF_IMAGES, evaluate
    from fpa.evaluation.image_sets import open_images
    from fpa.evaluation.scores import Settings

    for name in ("fake", "real", "check", "radii"):
        if getattr(options, name):
            raise UserError(f"--{name} is for a run's features; leave it out with --against")
    place, protocol = _place(options), _protocol(options, options.protocol or "quick")
    if options.n_real:
        protocol = replace(protocol, n_real=options.n_real)
    size = open_images(options.run).shape[-2]
    real, against = _real(options.against, options, size)
    settings = Settings(
        options.metrics or METRICS_OF_IMAGES,
        options.frechet,
        options.kid_subsets,
        options.kid_subset_size,
        options.groups,
        options.seed,
    )
    name = Path(options.run).resolve().name
    result = evaluate(
        options.run,
        real,
        protocol,
        place,
        settings,
        name=name,
        against=against,
        digest=options.digest,
    )
    if options.out:
        result.write(options.out)
    print(result.summary())


def _configured(options: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """The configuration's path and contents; no path where there is none and none was asked for."""
    from fpa.core.registry import load_plugins
    from fpa.experiment.config import check_config, read_config

    if options.config == CONFIG and not Path(CONFIG).exists():
        return None, {"data": "data", "inception_weights": None, "evaluation": {"protocols": {}}}
    config = check_config(read_config(options.config))
    load_plugins(config["plugins"])
    return options.config, config


def _place(options: argparse.Namespace) -> "Place":
    from fpa.evaluation.evaluate import Place

    _, config = _configured(options)
    weights = options.weights or config["inception_weights"]
    return Place(options.data or config["data"], weights, options.device, options.threads)


def _protocol(options: argparse.Namespace, name: str) -> "Protocol":
    """A protocol of the experiment, or a known one."""
    from fpa.evaluation import protocols

    _, config = _configured(options)
    return protocols.resolve(name, config["evaluation"]["protocols"].get(name, {}), "--protocol")


def _real(named: str, options: argparse.Namespace, size: int | None) -> tuple[str, str]:
    """The path of the real images, and what they are called.

    A data set is one of the configuration or of this project, at the size (px) of the images.
    """
    from fpa.core import artifacts
    from fpa.data.sources import store_name
    from fpa.experiment.datasets import resolve_dataset

    if Path(named).exists():
        return named, Path(named).resolve().name
    path, _ = _configured(options)
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
