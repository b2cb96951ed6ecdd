"""A finished run's score, with everything that it was computed from."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpa.core import provenance
from fpa.core.errors import UserError
from fpa.core.provenance import STAGES
from fpa.evaluation import features, precision_recall
from fpa.evaluation.distances import Estimate
from fpa.evaluation.extractors import PAIRS, ExtractorInfo
from fpa.evaluation.scores import Pair, Score, Settings, choose, measure, pair
from fpa.runs.finished import read_summary

if TYPE_CHECKING:
    from fpa.evaluation.path_length import PathLength


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
        manifold = precision_recall.load_real(radii, everything.values, everything.about)
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
    summary = read_summary(run_folder)
    if summary["images_sha256"] != main.real.about["images_sha256"]:
        raise UserError(
            f"{real} is of other images than {run_folder} was trained on; prepare those again, or "
            "delete the run to train it on these"
        )
    metrics = measure(main, libraries, settings, manifold)
    return Score(
        **_trained(summary, checkpoint),
        **measured(main, protocol, settings, len(main.real.values), metrics),
        # What made the files says by which version; only the score is made here.
        stages={**summary.get("stages", {}), **stages(main)},
    )


def score_paths(
    run_folder: Path,
    length: "PathLength",
    network: ExtractorInfo,
    protocol: str,
    checkpoint: str,
    seed: int,
) -> Score:
    """A run's score of a path length. network: the description of LPIPS's files."""
    summary = read_summary(run_folder)
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
        stages={**summary.get("stages", {}), "score": STAGES["score"]},
        versions=provenance.versions(),
    )


def _trained(summary: Mapping[str, Any], checkpoint: str) -> dict[str, Any]:
    """What a score says of the training that is scored."""
    run = summary["run"]
    return {
        "dataset": run["dataset"]["name"],
        "resolution": run["dataset"]["resolution"],
        "model": run["model"]["name"],
        "seed": run["seed"],
        "run": summary["digest"],
        "trained_sha256": summary.get("weights_sha256"),
        "kimg": summary["kimg"],
        "checkpoint": checkpoint,
        "checkpoint_kimg": summary["best"]["kimg"] if checkpoint == "best" else summary["kimg"],
        "generator_parameters": summary["parameters"].get("ema"),
    }


def measured(
    main: Pair,
    protocol: str,
    settings: Settings,
    n_real: int,
    metrics: Mapping[str, Estimate],
) -> dict[str, Any]:
    """What a score says of its measurement."""
    about = main.fake.about
    n_compared = precision_recall.images(len(main.real.values), len(main.fake.values))
    return {
        "status": "ok" if metrics else "nan",
        "metrics": dict(metrics),
        "protocol": protocol,
        **{key: about[key] for key in ("extractor", "resize", "format", "weights_sha256")},
        "settings": settings.as_json(),
        "n_real": n_real,
        "n_fake": len(main.fake.values),
        "n_precision_recall": n_compared if {"precision", "recall"} & metrics.keys() else None,
        "not_finite": about.get("not_finite", 0),
        "real_sha256": main.real.about["images_sha256"],
        "fake_sha256": about["images_sha256"],
        "versions": provenance.versions(),
    }


def stages(main: Pair) -> dict[str, int]:
    """The versions of the stages that made two sets of features and their score."""
    made = (part.about.get("stages", {}) for part in main)
    return {**next(made), **next(made), "score": STAGES["score"]}
