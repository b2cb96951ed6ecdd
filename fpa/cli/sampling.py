"""Verbs that draw from a finished run's generator."""

import argparse
from pathlib import Path

from fpa.cli.verbs import Add, add_device, add_run, verb
from fpa.common.progress import Progress


def _sample(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=64, help="number of images")
    add("--out", metavar="FILE", required=True, help="the images, .npy; a .json goes beside it")
    add_device(add)


@verb(_sample)
def sample(options: argparse.Namespace) -> None:
    """Draw images from a finished run's generator."""
    from fpa.common.stages import STAGES
    from fpa.evaluation import sampling

    model, device = _generator(options)
    bar = Progress(options.count, f"sampling {Path(options.run).name}", "images")
    chunks = sampling.sample_chunks(
        model.ema, model.latent_dim, options.count, options.seed, device
    )
    about = {
        "checkpoint": options.checkpoint,
        "seed": options.seed,
        "stages": {"sample": STAGES["sample"]},
    }
    sampling.save(options.out, chunks, options.count, about, bar)
    bar.close()


def _paint(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=64, help="number of images")
    add("--out", metavar="FILE", required=True, help="the painting traces, .npz")
    add_device(add)


@verb(_paint)
def paint(options: argparse.Namespace) -> None:
    """Save painting traces: both factors of every update of a few paintings."""
    from fpa.common.files import save_npz
    from fpa.evaluation.paintings import painting_traces

    model, device = _generator(options)
    save_npz(options.out, **painting_traces(model, options.count, options.seed, device))


def _live(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=8, help="latents that the page begins with")
    add("--out", metavar="FILE", required=True, help="the weights, .safetensors")
    add_device(add)


@verb(_live)
def live(options: argparse.Namespace) -> None:
    """Save a painter's weights as the report's page runs them."""
    from fpa.common.files import write_bytes
    from fpa.evaluation.live import pack

    model, _ = _generator(options)
    write_bytes(options.out, pack(model, options.count, options.seed))


def _statistics(add: Add) -> None:
    add_run(add)
    add("--count", type=int, default=64, help="number of images")
    add("--out", metavar="FILE", required=True, help="the statistics, .npz")
    add_device(add)


@verb(_statistics)
def statistics(options: argparse.Namespace) -> None:
    """Save statistics of every step of many paintings, for the figures."""
    from fpa.common.files import save_npz
    from fpa.evaluation.paintings import step_statistics

    model, device = _generator(options)
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
    from fpa.common.files import save_array
    from fpa.evaluation.interpolation import interpolate

    model, device = _generator(options)
    images = interpolate(
        model.ema, model.latent_dim, options.count, options.frames, options.seed, device
    )
    save_array(options.out, images)


def _generator(options: argparse.Namespace):  # type: ignore[no-untyped-def]
    """A finished run's or an export's model on its device, ready to sample from."""
    from fpa.training import devices
    from fpa.training.finished import restore

    model = restore(Path(options.run), options.checkpoint)
    device = devices.choose(options.device, options.threads)
    model.to(device)
    return model, device


def _neighbours(add: Add) -> None:
    add("samples", metavar="FILE", help="samples, .npy")
    add("--fake", metavar="FILE", required=True, help="their features")
    add("--real", metavar="FILE", required=True, help="features of the real images")
    add("--store", metavar="DIR", required=True, help="the prepared data set")
    add("--count", type=int, default=10, help="samples that are shown")
    add("--out", metavar="FILE", required=True, help=".npz")


@verb(_neighbours)
def neighbours(options: argparse.Namespace) -> None:
    """Find the training images that samples come nearest to, in feature space."""
    from fpa.common.files import load_array, save_npz
    from fpa.data.store import open_store
    from fpa.evaluation import features, scores
    from fpa.evaluation.neighbours import search

    both = scores.pair(features.load(options.real), features.load(options.fake))
    images, _ = open_store(options.store)
    samples = load_array(options.samples, mmap_mode="r")
    found = search(both.real.values, both.fake.values, images, samples, options.count)
    save_npz(options.out, **found)
