"""Verbs that draw from a finished run's generator."""

import argparse
from pathlib import Path

from fpa.cli.verbs import Add, add_device, add_run, verb
from fpa.core.errors import UserError
from fpa.core.progress import Progress, log


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
        metavar="FILE",
        required=True,
        help="the images, .npy: uint8, and a .json beside it; of given latents float32, not clamped",
    )
    add_device(add)


def _add_latents(add: Add) -> None:
    given = "latents (N, L), .npy, in place of --count and --seed"
    add("--latents", metavar="FILE", help=given)
    add("--count", type=int, help="number of images (64)")


def _count(options: argparse.Namespace) -> int:
    """The number of images, where no latents are given."""
    from fpa.core.errors import UserError

    if options.latents and options.count:
        raise UserError("--latents says how many images there are; leave out --count")
    return options.count or 64


@verb(_sample)
def sample(options: argparse.Namespace) -> None:
    """Draw images from a finished run's generator."""
    from fpa.core.files import save_array
    from fpa.core.stages import STAGES
    from fpa.evaluation import sampling

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


def _paint(add: Add) -> None:
    add_run(add)
    _add_latents(add)
    add(
        "--out",
        metavar="FILE",
        required=True,
        help="the painting traces, .npz; of given latents with the pictures of all steps",
    )
    add_device(add)


@verb(_paint)
def paint(options: argparse.Namespace) -> None:
    """Save painting traces: both factors of every update of a few paintings."""
    from fpa.core.files import save_npz
    from fpa.evaluation.paintings import painting_traces, steps_of
    from fpa.evaluation.sampling import read_latents

    count = _count(options)
    model, device, _ = _generator(options)
    if options.latents:
        latents = read_latents(options.latents, model.latent_dim)
        save_npz(options.out, **steps_of(model, latents, device))
        log.info("%s: %d paintings of %s", options.out, len(latents), options.latents)
    else:
        save_npz(options.out, **painting_traces(model, count, options.seed, device))


def _live(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=8, help="latents that the page begins with")
    add("--out", metavar="FILE", required=True, help="the weights, .safetensors")
    add_device(add)


@verb(_live)
def live(options: argparse.Namespace) -> None:
    """Save a painter's weights as the report's page runs them."""
    from fpa.core.files import write_bytes
    from fpa.evaluation.live import pack

    model, _, _ = _generator(options)
    write_bytes(options.out, pack(model, options.count, options.seed))


def _statistics(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=64, help="number of images")
    add("--out", metavar="FILE", required=True, help="the statistics, .npz")
    add_device(add)


@verb(_statistics)
def statistics(options: argparse.Namespace) -> None:
    """Save statistics of every step of many paintings, for the figures."""
    from fpa.core.files import save_npz
    from fpa.evaluation.paintings import step_statistics

    model, device, _ = _generator(options)
    bar = Progress(options.count, f"painting {Path(options.run).name}", "paintings")
    found = step_statistics(model, options.count, options.seed, device, bar.update)
    bar.close()
    save_npz(options.out, **found)


def _interpolate(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=3, help="pairs of latents")
    add("--frames", type=int, default=12, help="images from one latent to the other")
    add("--out", metavar="FILE", required=True, help="the images, .npy")
    add_device(add)


@verb(_interpolate)
def interpolate(options: argparse.Namespace) -> None:
    """Draw images between pairs of latents from a finished run's EMA generator."""
    from fpa.core.files import save_array
    from fpa.evaluation.interpolation import interpolate

    model, device, _ = _generator(options)
    images = interpolate(
        model.ema, model.latent_dim, options.count, options.frames, options.seed, device
    )
    save_array(options.out, images)


def _generator(options: argparse.Namespace, which: str = "ema"):  # type: ignore[no-untyped-def]
    """A finished run's or an export's model on its device, that device, and the generator asked for."""
    from fpa.runs import devices
    from fpa.runs.finished import restore_generator

    model, generator = restore_generator(Path(options.run), options.checkpoint, which)
    device = devices.choose(options.device, options.threads)
    model.to(device)
    return model, device, generator


def _path_length(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=50_000, help="random paths between latents")
    lpips = "from python -m fpa extractor lpips_vgg16"
    add("--extractor", metavar="FILE", required=True, help=lpips)
    add("--protocol", default="ppl", help="name for tables (ppl)")
    add("--out", metavar="FILE", required=True, help="score file, .json")
    add_device(add)


@verb(_path_length)
def path_length(options: argparse.Namespace) -> None:
    """Score a finished run by how fast its images change between latents: perceptual path length."""
    from fpa.core.files import read_json
    from fpa.evaluation import path_length
    from fpa.evaluation.scoring import score_paths

    if options.count < 2:
        raise UserError(f"--count: found {options.count}, expected at least 2 paths")
    model, device, generator = _generator(options)
    found = path_length.perceptual_path_length(
        generator,
        path_length.load_distance(options.extractor, device),
        model.latent_dim,
        options.count,
        options.seed,
        device,
    )
    network = read_json(options.extractor)
    run, how = Path(options.run), (options.protocol, options.checkpoint, options.seed)
    score = score_paths(run, found, network, *how)
    score.write(options.out)
    log.info("%s", score.summary())


def _neighbours(add: Add) -> None:
    add("samples", metavar="FILE", help="samples, .npy")
    add("--fake", metavar="FILE", required=True, help="their features")
    add("--real", metavar="FILE", required=True, help="features of the real images")
    add(
        "--store",
        metavar="DIR",
        help="the prepared data set; without it, distances alone are saved",
    )
    add("--count", type=int, default=10, help="samples that are shown")
    add("--out", metavar="FILE", required=True, help=".npz")


@verb(_neighbours)
def neighbours(options: argparse.Namespace) -> None:
    """Find the training images that samples come nearest to, in feature space."""
    from fpa.core.files import load_array, save_npz
    from fpa.data.store import open_store
    from fpa.evaluation import features, scores
    from fpa.evaluation.neighbours import search

    both = scores.pair(features.load(options.real), features.load(options.fake))
    images = open_store(options.store)[0] if options.store else None
    samples = load_array(options.samples, mmap_mode="r")
    found = search(both.real.values, both.fake.values, images, samples, options.count)
    save_npz(options.out, **found)
