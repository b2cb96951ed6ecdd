"""Verbs about finished generators: exported, imported, and what they draw."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.cli import kinds
from fpa.cli.options import (
    COUNT,
    FEW,
    Add,
    add_checkpoint,
    add_device,
    add_run,
    add_trust,
    number,
    verb,
    whole,
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
from fpa.runs.generators import restore_generator
from fpa.training.import_official import import_official as import_checkpoint

if TYPE_CHECKING:
    import torch

    from fpa.models.interface import Model


def _export(add: Add) -> None:
    add("run", metavar="DIR", help="folder of a finished run")
    add_checkpoint(add)
    add("--out", type=kinds.folder, metavar="DIR", required=True, help="folder of the export")
    add("--onnx", action="store_true", help="as ONNX too, compared with PyTorch by onnxruntime")
    add("--page", action="store_true", help="also as the report's page runs it")
    add("--licence", metavar="SPDX", help="of the weights, for the card, as in CC-BY-4.0")
    add_trust(add)


@verb(_export)
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


def _import_official(add: Add) -> None:
    add(
        "checkpoint",
        type=kinds.file,
        metavar="CHECKPOINT.PT",
        help="a checkpoint of the paper's public code",
    )
    add("--args", type=kinds.file, metavar="FILE", required=True, help="the args.txt beside it")
    add(
        "--out",
        type=kinds.folder_for("a run"),
        metavar="DIR",
        required=True,
        help="folder of the run that it becomes",
    )
    add(
        "--kimg",
        type=number,
        help="thousand images that it is to be trained on in all (default: what it has seen)",
    )


@verb(_import_official)
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


def _add_latents(add: Add) -> None:
    given = "latents (N, L), .npy, in place of --count and --seed"
    add("--latents", type=kinds.existing(kinds.LATENTS), metavar="FILE", help=given)
    add("--count", type=COUNT, help="number of images (64)")


def _count(options: argparse.Namespace) -> int:
    """The number of images, where no latents are given."""
    if options.latents and options.count:
        raise UserError("--latents says how many images there are; leave out --count")
    return options.count or 64


def _sample(add: Add) -> None:
    add_run(add)
    _add_latents(add)
    add(
        "--which",
        choices=["ema", "raw", "before_unet"],
        default="ema",
        help="EMA generator, the trained one itself, or the EMA's painter below its U-Net",
    )
    add(
        "--out",
        type=kinds.output(kinds.SAMPLES),
        metavar="FILE",
        required=True,
        help="the images, .npy: uint8, and a .json beside it; of given latents float32, not clamped",
    )
    add_device(add)


@verb(_sample)
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
        "checkpoint": options.checkpoint,
        "seed": options.seed,
        "stages": {"sample": STAGES["sample"]},
        **({} if options.which == "ema" else {"which": options.which}),
    }
    sampling.save(options.out, chunks, count, about, bar)
    bar.close()


def _artifact(add: Add) -> None:
    add("name", help=", ".join(ARTIFACTS))
    add_run(add)
    add(
        "--count",
        type=whole(1, 1_000_000),
        nargs="+",
        required=True,
        help="how much of it, as in its file's name",
    )
    add("--out", metavar="FILE", required=True, help="the artifact")
    add_device(add)


@verb(_artifact)
def artifact(options: argparse.Namespace) -> None:
    _save(options, options.name, *options.count)


def _save(options: argparse.Namespace, name: str, *size: int) -> None:
    """Make an artifact of a finished run's generator."""
    made = ARTIFACTS.find(name, "artifact")
    kinds.output(kinds.Kind(name, f".{made.ending}"))(options.out)
    model, device, _ = _generator(options)
    made.save(options.out, model, size, options.seed, device)


def _paint(add: Add) -> None:
    add_run(add)
    _add_latents(add)
    add(
        "--out",
        type=kinds.output(kinds.PAINTINGS),
        metavar="FILE",
        required=True,
        help="the painting traces, .npz; of given latents with the pictures of all steps",
    )
    add_device(add)


@verb(_paint)
def paint(options: argparse.Namespace) -> None:
    count = _count(options)
    if not options.latents:
        _save(options, "paintings", count)
        return
    model, device, _ = _generator(options)
    latents = sampling.read_latents(options.latents, model.latent_dim)
    save_npz(options.out, **steps_of(model, latents, device))
    log.info("%s: %d paintings of %s", options.out, len(latents), options.latents)


def _add_artifact(
    add: Add, count: int, counted: str, out: kinds.Kind, most: int = 1_000_000
) -> None:
    add_run(add)
    add("--count", type=whole(1, most), default=count, help=counted)
    add(
        "--out",
        type=kinds.output(out),
        metavar="FILE",
        required=True,
        help=f"the {out.name}, {out.ending}",
    )
    add_device(add)


def _export_web(add: Add) -> None:
    _add_artifact(add, 8, "latents that the page begins with", kinds.WEIGHTS, FEW)


@verb(_export_web)
def export_web(options: argparse.Namespace) -> None:
    _save(options, "live", options.count)


def _statistics(add: Add) -> None:
    _add_artifact(add, 64, "number of images", kinds.STATISTICS)


@verb(_statistics)
def statistics(options: argparse.Namespace) -> None:
    _save(options, "statistics", options.count)


def _interpolate(add: Add) -> None:
    _add_artifact(add, 3, "pairs of latents", kinds.INTERPOLATIONS, FEW)
    add("--frames", type=whole(2, FEW), default=12, help="images from one latent to the other")


@verb(_interpolate)
def interpolate(options: argparse.Namespace) -> None:
    _save(options, "interpolations", options.count, options.frames)


def _path_length(add: Add) -> None:
    add_run(add)
    add("--count", type=whole(2), default=50_000, help="random paths between latents")
    lpips = "from python -m fpa extractor lpips_vgg16"
    add(
        "--extractor",
        type=kinds.existing(kinds.EXTRACTOR),
        metavar="FILE",
        required=True,
        help=lpips,
    )
    add("--protocol", default="ppl", help="name for tables (ppl)")
    add(
        "--out",
        type=kinds.output(kinds.SCORE),
        metavar="FILE",
        required=True,
        help="score file, .json",
    )
    add_device(add)


@verb(_path_length)
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
