"""Verbs about finished generators: exported, imported, and what they draw."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.cli import kinds
from fpa.cli.options import (
    COUNT,
    DEVICE,
    FEW,
    GENERATOR,
    TRUST,
    Option,
    checkpoint,
    folder,
    number,
    option,
    reads,
    verb,
    whole,
    writes,
)
from fpa.core.errors import UserError
from fpa.core.files import save_array, save_npz
from fpa.core.progress import Progress, log
from fpa.core.provenance import STAGES
from fpa.evaluation import path_length as paths
from fpa.evaluation import sampling
from fpa.evaluation.evaluate import score_paths
from fpa.evaluation.extractors import ExtractorInfo
from fpa.evaluation.run_artifacts import ARTIFACTS, steps_of
from fpa.reporting.model_card import check_place, export_run
from fpa.runs import devices
from fpa.runs.generators import digest_of, restore_generator
from fpa.training.import_official import import_official as import_checkpoint

if TYPE_CHECKING:
    import torch

    from fpa.models.interface import Model


@verb(
    folder("run", "folder of a finished run"),
    checkpoint(),
    folder("--out", "folder of the export", type=kinds.folder, required=True),
    option("--onnx", "as ONNX too, compared with PyTorch by onnxruntime", action="store_true"),
    option("--page", "also as the report's page runs it", action="store_true"),
    option("--licence", "of the weights, for the card, as in CC-BY-4.0", metavar="SPDX"),
    TRUST,
)
def export(options: argparse.Namespace) -> None:
    check_place(Path(options.out))
    export_run(
        Path(options.run),
        options.checkpoint,
        Path(options.out),
        onnx=options.onnx,
        page=options.page,
        licence=options.licence,
    )
    log.info("%s: `python -m fpa sample` paints from it", options.out)


@verb(
    option(
        "checkpoint",
        "a checkpoint of the paper's public code",
        type=kinds.file,
        metavar="CHECKPOINT.PT",
    ),
    option("--args", "the args.txt beside it", type=kinds.file, metavar="FILE", required=True),
    folder(
        "--out", "folder of the run that it becomes", type=kinds.folder_for("a run"), required=True
    ),
    option(
        "--kimg",
        "thousand images that it is to be trained on in all (default: what it has seen)",
        type=number,
    ),
)
def import_official(options: argparse.Namespace) -> None:
    run = import_checkpoint(
        Path(options.checkpoint), Path(options.args), Path(options.out), options.kimg
    )
    log.info("%s: imported as %s", options.out, run.model.class_)


def _generator(
    options: argparse.Namespace, which: str = "ema"
) -> "tuple[Model, torch.device, torch.nn.Module]":
    """A finished run's or an export's model on its device, that device, and the generator asked for."""
    model, generator = restore_generator(Path(options.run), options.checkpoint, which)
    device = devices.choose(options.device, options.threads)
    model.to(device)
    return model, device, generator


LATENTS = (
    reads("--latents", kinds.LATENTS, "latents (N, L), .npy, in place of --count and --seed"),
    option("--count", "number of images (64)", type=COUNT),
)


def _count(options: argparse.Namespace) -> int:
    if options.latents and options.count:
        raise UserError("--latents says how many images there are; leave out --count")
    return options.count or 64


@verb(
    *GENERATOR,
    *LATENTS,
    option(
        "--which",
        "EMA generator, the trained one itself, or the EMA's painter below its U-Net",
        choices=["ema", "raw", "before_unet"],
        default="ema",
    ),
    writes(
        kinds.SAMPLES,
        "the images, .npy: uint8, and a .json beside it; of given latents float32, not clamped",
    ),
    *DEVICE,
)
def sample(options: argparse.Namespace) -> None:
    count = _count(options)
    model, device, generator = _generator(options, options.which)
    if options.latents:
        latents = sampling.read_latents(options.latents, model.latent_dim)
        save_array(options.out, sampling.images_of(generator, latents, options.seed, device))
        log.info("%s: %d images of %s", options.out, len(latents), options.latents)
        return
    bar = Progress(count, f"sampling {Path(options.run).name}", "images")
    chunks = sampling.sample_chunks(generator, model.latent_dim, count, options.seed, device)
    about = {
        "run": digest_of(Path(options.run)),
        "checkpoint": options.checkpoint,
        "seed": options.seed,
        "stages": {"sample": STAGES["sample"]},
        **({} if options.which == "ema" else {"which": options.which}),
    }
    sampling.save(options.out, chunks, count, about, bar)
    bar.close()


@verb(
    option("name", ", ".join(ARTIFACTS)),
    *GENERATOR,
    option(
        "--count",
        "how much of it, as in its file's name",
        type=whole(1, 1_000_000),
        nargs="+",
        required=True,
    ),
    option("--out", "the artifact", metavar="FILE", required=True),
    *DEVICE,
)
def artifact(options: argparse.Namespace) -> None:
    _save(options, options.name, *options.count)


def _save(options: argparse.Namespace, name: str, *size: int) -> None:
    made = ARTIFACTS.find(name, "artifact")
    kinds.output(kinds.Kind(name, f".{made.ending}"))(options.out)
    model, device, _ = _generator(options)
    made.save(options.out, model, size, options.seed, device)


@verb(
    *GENERATOR,
    *LATENTS,
    writes(
        kinds.PAINTINGS,
        "the painting traces, .npz; of given latents with the pictures of all steps",
    ),
    *DEVICE,
)
def paint(options: argparse.Namespace) -> None:
    count = _count(options)
    if not options.latents:
        _save(options, "paintings", count)
        return
    model, device, _ = _generator(options)
    latents = sampling.read_latents(options.latents, model.latent_dim)
    save_npz(options.out, **steps_of(model, latents, device))
    log.info("%s: %d paintings of %s", options.out, len(latents), options.latents)


def _artifact(
    kind: kinds.Kind, count: int, counted: str, most: int = 1_000_000
) -> tuple[Option, ...]:
    return (
        *GENERATOR,
        option("--count", counted, type=whole(1, most), default=count),
        writes(kind, f"the {kind.name}, {kind.ending}"),
        *DEVICE,
    )


@verb(*_artifact(kinds.WEIGHTS, 8, "latents that the page begins with", FEW))
def export_web(options: argparse.Namespace) -> None:
    _save(options, "live", options.count)


@verb(*_artifact(kinds.STATISTICS, 64, "number of images"))
def statistics(options: argparse.Namespace) -> None:
    _save(options, "statistics", options.count)


@verb(
    *_artifact(kinds.INTERPOLATIONS, 3, "pairs of latents", FEW),
    option("--frames", "images from one latent to the other", type=whole(2, FEW), default=12),
)
def interpolate(options: argparse.Namespace) -> None:
    _save(options, "interpolations", options.count, options.frames)


@verb(
    *GENERATOR,
    option("--count", "random paths between latents", type=whole(2), default=50_000),
    reads("--extractor", kinds.EXTRACTOR, "of lpips_vgg16, from the verb extractor", required=True),
    option("--protocol", "name for tables (ppl)", default="ppl"),
    writes(kinds.SCORE, "score file, .json"),
    *DEVICE,
)
def path_length(options: argparse.Namespace) -> None:
    model, device, generator = _generator(options)
    found = paths.perceptual_path_length(
        generator,
        paths.load_distance(options.extractor, device),
        model.latent_dim,
        options.count,
        options.seed,
        device,
    )
    network = ExtractorInfo.read(options.extractor)
    run, how = Path(options.run), (options.protocol, options.checkpoint, options.seed)
    score = score_paths(run, found, network, *how)
    score.write(options.out)
    log.info("%s", score.summary())
