"""Verbs about training."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from fpa.cli.verbs import Add, add_device, add_execution, add_trust, listed, verb
from fpa.core.errors import Stopped
from fpa.core.progress import log

if TYPE_CHECKING:
    from fpa.runs.execution import Execution

COMMAND = (sys.executable, "-m", "fpa")


def _train(add: Add) -> None:
    add("run", metavar="RUN.JSON", help="the resolved run (python -m fpa plan --write)")
    add("--store", metavar="DIR", required=True, help="the prepared data set")
    add("--out", metavar="DIR", help="default: the folder of RUN.JSON")
    add("--base", metavar="DIR", help="finished run to start from, for models that need one")
    add("--finished", metavar="DIR", help="finished run in the place of this training")
    add("--real", metavar="FILE", help="features of the real images, for the quick scores")
    add("--extractor", metavar="FILE", help="the extractor of --real (python -m fpa extractor)")
    add("--log-every", type=int, default=100, metavar="STEPS", help="steps between history rows")
    add(
        "--checkpoint-kimg",
        type=float,
        metavar="KIMG",
        help="thousand images between checkpoints (20)",
    )
    add(
        "--loggers",
        type=listed("none"),
        default=[],
        metavar="NAMES",
        help="what else is told of history and snapshots, separated by commas: tensorboard, wandb, "
        "mlflow (default: none)",
    )
    add("--gpus", type=int, default=1, help="GPUs (or processes on the CPU) that share each batch")
    add(
        "--requeue",
        action="store_true",
        help="in a Slurm job: have it queued again when its time limit comes (on SIGUSR1)",
    )
    add_device(add)
    add_execution(add)
    add_trust(add)


@verb(_train)
def train(options: argparse.Namespace) -> None:
    """Train one run to the end of its budget, going on from its last checkpoint."""
    from fpa.runs import launch
    from fpa.runs.signals import StopSignal
    from fpa.training import requeue

    requeues = options.requeue and not launch.is_worker()
    at_the_time_limit = requeue.at_the_time_limit if requeues else nullcontext
    # Before all that takes seconds to load: from here on, a signal is answered by saving.
    with StopSignal() as stop, at_the_time_limit(stop):
        if options.gpus > 1 and not launch.is_worker():
            from fpa.runs.devices import share_out

            gpus = share_out(options.device, options.gpus)
            code = launch.launch([*COMMAND, *options.arguments], options.gpus, stop, gpus)
            if code == Stopped.EXIT_CODE:
                raise Stopped(f"{stop.received}, in {options.gpus} processes")
            if code:
                sys.exit(code)
            return
        from fpa.training.train_run import train_run

        train_run(
            options.run,
            Path(options.store),
            Path(options.out or Path(options.run).parent),
            base=options.base,
            finished=options.finished,
            real=options.real,
            extractor=options.extractor,
            log_every=options.log_every,
            checkpoint_kimg=options.checkpoint_kimg,
            device=options.device,
            threads=options.threads,
            execution=_execution(options),
            stop=stop,
            loggers=options.loggers,
        )


def _execution(options: argparse.Namespace) -> "Execution":
    from fpa.runs.execution import Execution

    channels_last = options.memory_format == "channels_last"
    return Execution(options.precision, channels_last, options.compile)


def _cost(add: Add) -> None:
    add("run", metavar="RUN.JSON", help="the resolved run (python -m fpa plan --write)")
    add("--seconds", type=float, default=1, help="about how long to measure, each")
    add("--out", metavar="FILE", required=True, help=".json")
    add_device(add)
    add_execution(add)
    add_trust(add)


@verb(_cost)
def cost(options: argparse.Namespace) -> None:
    """Count a run's parameters and multiply-adds, and measure its images per second."""
    from fpa.core.files import read_json, write_json
    from fpa.runs.run import Run

    # Before torch is imported, which takes a second: a mistake is said at once.
    about = read_json(options.run, made_by="python -m fpa plan --write")
    run = Run.from_config(about, options.run)

    from fpa.runs import devices
    from fpa.training.cost import cost_of, summary_line

    execution = _execution(options)
    device = devices.choose(options.device, options.threads, execution.precision)
    result = cost_of(run, device, options.seconds, execution)
    write_json(options.out, result)
    log.info("%s", summary_line(result))


def _export(add: Add) -> None:
    add("run", metavar="DIR", help="folder of a finished run")
    add("--checkpoint", choices=["best", "last"], default="last", help="of the EMA generator")
    add("--out", metavar="DIR", required=True, help="folder of the export")
    add("--onnx", action="store_true", help="as ONNX too, compared with PyTorch by onnxruntime")
    add("--page", action="store_true", help="also as the report's page runs it")
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
        page=options.page,
        licence=options.licence,
    )
    log.info("%s: `python -m fpa sample` paints from it", options.out)


def _import_official(add: Add) -> None:
    add("checkpoint", metavar="CHECKPOINT.PT", help="a checkpoint of the paper's public code")
    add("--args", metavar="FILE", required=True, help="the args.txt beside it")
    add("--out", metavar="DIR", required=True, help="folder of the run that it becomes")
    add(
        "--kimg",
        type=float,
        help="thousand images that it is to be trained on in all (default: what it has seen)",
    )


@verb(_import_official)
def import_official(options: argparse.Namespace) -> None:
    """Make a finished run of a checkpoint of the paper's public code."""
    from fpa.training.official import import_official

    run = import_official(
        Path(options.checkpoint), Path(options.args), Path(options.out), options.kimg
    )
    log.info("%s: imported as %s", options.out, run.model["class"])
