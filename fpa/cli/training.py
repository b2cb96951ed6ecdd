"""Verbs about training."""

import argparse
import sys
from pathlib import Path

from fpa.cli.verbs import Add, add_device, add_precision, add_trust, verb
from fpa.common.progress import log

COMMAND = (sys.executable, "-m", "fpa")


def _train(add: Add) -> None:
    add("run", metavar="RUN.JSON", help="the resolved run (python -m fpa plan --write)")
    add("--store", metavar="DIR", required=True, help="the prepared data set")
    add("--out", metavar="DIR", help="default: the folder of RUN.JSON")
    add("--base", metavar="DIR", help="finished run to start from, for models that need one")
    add("--real", metavar="FILE", help="features of the real images, for the quick scores")
    add("--extractor", metavar="FILE", help="the extractor of --real (python -m fpa extractor)")
    add("--log-every", type=int, default=100, metavar="STEPS", help="steps between history rows")
    add(
        "--checkpoint-kimg",
        type=float,
        metavar="KIMG",
        help="thousand images between checkpoints (20)",
    )
    add("--gpus", type=int, default=1, help="GPUs (or processes on the CPU) that share each batch")
    add_device(add)
    add_precision(add)
    add_trust(add)


@verb(_train)
def train(options: argparse.Namespace) -> None:
    """Train one run to the end of its budget, going on from its last checkpoint."""
    from fpa.training import launch
    from fpa.training.signals import StopSignal

    # Before all that takes seconds to load: from here on, a signal is answered by saving.
    with StopSignal() as stop:
        if options.gpus > 1 and not launch.is_worker():
            code = launch.launch([*COMMAND, *options.arguments], options.gpus, stop)
            if code:
                sys.exit(code)
            return
        from fpa.evaluation.watched_training import train_run

        train_run(
            options.run,
            Path(options.store),
            Path(options.out or Path(options.run).parent),
            base=options.base,
            real=options.real,
            extractor=options.extractor,
            log_every=options.log_every,
            checkpoint_kimg=options.checkpoint_kimg,
            device=options.device,
            threads=options.threads,
            precision=options.precision,
            stop=stop,
        )


def _cost(add: Add) -> None:
    add("run", metavar="RUN.JSON", help="the resolved run (python -m fpa plan --write)")
    add("--seconds", type=float, default=3, help="about how long to measure, each")
    add("--out", metavar="FILE", required=True, help=".json")
    add_device(add)
    add_precision(add)
    add_trust(add)


@verb(_cost)
def cost(options: argparse.Namespace) -> None:
    """Count a run's parameters and multiply-adds, and measure its images per second."""
    from fpa.common.files import read_json, write_json
    from fpa.training.run import Run

    # Before torch is imported, which takes a second: a mistake is said at once.
    about = read_json(options.run, made_by="python -m fpa plan --write")
    run = Run.from_config(about, options.run)

    from fpa.training import devices
    from fpa.training.cost import cost_of, summary_line

    device = devices.choose(options.device, options.threads, options.precision)
    result = cost_of(run, device, options.seconds, options.precision)
    write_json(options.out, result)
    log.info("%s", summary_line(result))


def _export(add: Add) -> None:
    add("run", metavar="DIR", help="folder of a finished run")
    add("--checkpoint", choices=["best", "last"], default="last", help="of the EMA generator")
    add("--out", metavar="DIR", required=True, help="folder of the export")
    add("--onnx", action="store_true", help="as ONNX too, compared with PyTorch by onnxruntime")
    add("--licence", metavar="SPDX", help="of the weights, for the card, as in CC-BY-4.0")
    add_trust(add)


@verb(_export)
def export(options: argparse.Namespace) -> None:
    """Save a finished run's EMA generator by itself: safetensors, configuration, model card."""
    from fpa.reporting.publication.exports import export_run

    export_run(
        Path(options.run),
        options.checkpoint,
        Path(options.out),
        onnx=options.onnx,
        licence=options.licence,
    )
    log.info("%s: `python -m fpa sample` paints from it", options.out)
