"""Verbs about training. What torch is needed for is imported only after a mistake has been said."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from fpa.cli import kinds
from fpa.cli.options import (
    COUNT,
    DEVICE,
    EXECUTION,
    RESOLVED,
    TRUST,
    folder,
    names,
    number,
    option,
    reads,
    seconds,
    verb,
    writes,
)
from fpa.core.errors import Stopped, UserError
from fpa.core.files import write_json
from fpa.core.progress import log
from fpa.models.loading import check_processes
from fpa.runs import devices, processes
from fpa.runs.execution import Execution
from fpa.runs.processes import StopSignal
from fpa.runs.run import Run, read_run
from fpa.training.loggers import LOGGERS

COMMAND = (sys.executable, "-m", "fpa")


@verb(
    RESOLVED,
    folder("--store", "the prepared data set", type=kinds.folder, required=True),
    folder("--out", "default: the folder of RUN.JSON", type=kinds.folder_for("a run")),
    folder("--base", "finished run to start from, for models that need one"),
    folder("--finished", "finished run in the place of this training"),
    reads(
        "--real",
        kinds.FEATURES,
        "features of the real images, for the quick scores (found or made beside the store)",
    ),
    reads("--extractor", kinds.EXTRACTOR, "the extractor of --real, from the verb extractor"),
    option("--log-every", "steps between history rows", type=COUNT, default=100, metavar="STEPS"),
    option(
        "--checkpoint-kimg", "thousand images between checkpoints (20)", type=number, metavar="KIMG"
    ),
    option(
        "--loggers",
        "what else is told of history and snapshots, separated by commas: tensorboard, wandb, "
        "mlflow (default: none)",
        type=names("none"),
        default=[],
        metavar="NAMES",
    ),
    option("--gpus", "GPUs (or processes on the CPU) that share each batch", type=COUNT, default=1),
    option(
        "--requeue",
        "in a Slurm job: have it queued again when its time limit comes (on SIGUSR1)",
        action="store_true",
    ),
    *DEVICE,
    *EXECUTION,
    TRUST,
)
def train(options: argparse.Namespace) -> None:
    requeues = options.requeue and not processes.is_worker()
    requeue_at_time_limit = processes.requeue_at_time_limit if requeues else nullcontext
    # Before all that takes seconds to load: from here on, a signal is answered by saving.
    with StopSignal() as stop, requeue_at_time_limit(stop):
        run = read_run(options.run)
        _check_named(options, run)
        if options.gpus > 1 and not processes.is_worker():
            _train_in_processes(options, stop)
            return
        # Only now: importing torch takes a second, and a mistake is to be said at once.
        from fpa.training.train_run import train_run

        train_run(
            run,
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


def _check_named(options: argparse.Namespace, run: Run) -> None:
    """UserError for loggers, processes and finished runs that this training has no use for."""
    for name in options.loggers:
        LOGGERS.find(name, "--loggers")
    check_processes(run.model.class_, run.training.batch_size, options.gpus)
    if options.base and not run.base:
        raise UserError(f"{run.model.name} starts from no finished run; leave out --base")
    if options.finished and not run.is_finished:
        raise UserError(f"{run.model.name} is to be trained; leave out --finished")


def _train_in_processes(options: argparse.Namespace, stop: StopSignal) -> None:
    gpus = devices.assign_gpus(options.device, options.gpus)
    code = processes.launch([*COMMAND, *options.arguments], options.gpus, stop, gpus)
    if code == Stopped.EXIT_CODE:
        raise Stopped(f"{stop.received}, in {options.gpus} processes")
    if code:
        sys.exit(code)


def _execution(options: argparse.Namespace) -> Execution:
    channels_last = options.memory_format == "channels_last"
    return Execution(options.precision, channels_last, options.compile)


@verb(
    RESOLVED,
    option("--seconds", "about how long to measure, each", type=seconds, default=1),
    writes(kinds.COST, ".json"),
    *DEVICE,
    *EXECUTION,
    TRUST,
)
def cost(options: argparse.Namespace) -> None:
    run = read_run(options.run)
    from fpa.training.cost import cost_of, summary_line

    execution = _execution(options)
    device = devices.choose(options.device, options.threads, execution.precision)
    result = cost_of(run, device, options.seconds, execution)
    write_json(options.out, result.as_json())
    log.info("%s", summary_line(result))
