"""Verbs about features and scores."""

import argparse
from pathlib import Path

from fpa.cli.images import add_place, score_images
from fpa.cli.verbs import Add, add_device, verb
from fpa.core.errors import UserError
from fpa.core.progress import log


def _extractor(add: Add) -> None:
    add("name", help="inception_v3, efficientnet_lite0-<n>px, dinov2_vitl14, ...")
    add("--weights", metavar="DIR", help="folder with the network's files, if you have them")
    add("--out", metavar="FILE", required=True, help="JSON file that describes the extractor")


@verb(_extractor)
def extractor(options: argparse.Namespace) -> None:
    """Find or download a feature extractor's weights and check them."""
    from fpa.evaluation.extractors import obtain

    about = obtain(options.name, options.weights, Path(options.out))
    for file in about["weights"].values():
        log.info("%s: %s (SHA-256 %s...)", about["name"], file["path"], file["sha256"][:12])


def _features(add: Add) -> None:
    add("images", help="uint8 .npy of shape (N, C, H, W), or a prepared data set's folder")
    add("--extractor", metavar="FILE", required=True, help="from python -m fpa extractor")
    add("--count", type=int, default=0, help="only the first so many (all)")
    add("--space", default="efficientnet_lite0-96px.clean.array", help="EXTRACTOR.RESIZE.FORMAT")
    add("--out", metavar="FILE", required=True, help=".npy; a .json goes beside it")
    add_device(add)


@verb(_features)
def features(options: argparse.Namespace) -> None:
    """Compute the features of an image array (.npy, or a prepared data set's folder)."""
    from fpa.evaluation.features import compute_file
    from fpa.evaluation.protocols import Space
    from fpa.runs import devices

    compute_file(
        Path(options.images),
        Space.parse(options.space),
        options.extractor,
        devices.choose(options.device, options.threads),
        Path(options.out),
        options.count,
    )


def _radii(add: Add) -> None:
    add("features", metavar="FILE", help="features of the real images, .npy")
    add("--most", type=int, default=10_000, help="images, drawn at random, at most")
    add("--seed", type=int, default=0, help="seed of the draw")
    add("--out", metavar="FILE", required=True, help=".npz")


@verb(_radii)
def radii(options: argparse.Namespace) -> None:
    """Compute what real images cover in feature space, for precision and recall."""
    from fpa.evaluation import features
    from fpa.evaluation.precision_recall import save_real

    real = features.load(options.features)
    save_real(options.out, real.values, real.about, options.most, options.seed)


def _score(add: Add) -> None:
    add("run", metavar="DIR", help="folder of the finished run; with --against, any images")
    add("--against", metavar="REAL", help="score images: a data set, folder or reference")
    add_place(add)
    add("--fake", metavar="FILE", help="features of the run's samples")
    add("--real", metavar="FILE", help="features of the real images")
    add(
        "--check",
        nargs=4,
        metavar="FILE",
        help="fake and real features of clean-fid's and of torch-fidelity's half of the check",
    )
    add("--radii", metavar="FILE", help="from python -m fpa radii; computed if it is not given")
    add("--protocol", help="with --against, how images are scored (quick); else a name for tables")
    add("--checkpoint", choices=["best", "last"], default="last", help="that was sampled from")
    add(
        "--metrics",
        nargs="+",
        help="fid, fid_infinity, kid, precision, recall, and, with --check, inception_score "
        "(fid and kid; with --against, all but the last)",
    )
    add("--frechet", choices=["symmetric", "clean_fid"], default="symmetric", help="its form")
    add("--n-real", type=int, help="real images, drawn at random (all)")
    add("--kid-subsets", type=int, default=100, help="subsets that KID averages over")
    add("--kid-subset-size", type=int, default=1000, help="images a subset, at most")
    add("--groups", type=int, default=10, help="parts of the samples, for sampling errors")
    add("--seed", type=int, default=0, help="seed of all random subsets")
    add("--out", metavar="FILE", help=".json; with --against it may be left out")


@verb(_score)
def score(options: argparse.Namespace) -> None:
    """FID, KID and more: of a run's features against the real ones, or of any images."""
    from fpa.evaluation.scores import Settings
    from fpa.evaluation.scoring import score_run

    if options.against:
        score_images(options)
        return
    for name in ("fake", "real", "out"):
        if not getattr(options, name):
            raise UserError(
                f"scoring a run takes --{name} (python -m fpa score --help); to score a folder of "
                "images, name what to compare it with by --against"
            )
    settings = Settings(
        options.metrics or ["fid", "kid"],
        options.frechet,
        options.kid_subsets,
        options.kid_subset_size,
        options.groups,
        options.seed,
    )
    result = score_run(
        Path(options.run),
        options.fake,
        options.real,
        options.check,
        settings,
        protocol=options.protocol or "by hand",
        checkpoint=options.checkpoint,
        n_real=options.n_real,
        radii=options.radii,
    )
    result.write(options.out)
    log.info("%s", result.summary())


def _compare(add: Add) -> None:
    add("one", metavar="A", help="a scored run's folder, or one of its score files")
    add("two", metavar="B", help="another")


@verb(_compare)
def compare(options: argparse.Namespace) -> None:
    """Show two runs' scores with their difference in standard errors."""
    from fpa.reporting.tables import compare_runs

    print(compare_runs(Path(options.one), Path(options.two)))
