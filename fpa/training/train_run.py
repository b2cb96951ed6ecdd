"""A training from and to its files: the run, its images, the quick score on the way, and what it leaves."""

from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path

import torch

from fpa.core import distributed
from fpa.core.errors import UserError
from fpa.core.files import locked
from fpa.core.progress import log
from fpa.data.sampler import EpochSampler
from fpa.data.store import open_store
from fpa.evaluation import features
from fpa.evaluation.protocols import Space
from fpa.evaluation.quick_score import QuickScore, Watch
from fpa.evaluation.sampling import Snapshot, snapshot
from fpa.models.loading import shapes_only
from fpa.runs import devices, processes
from fpa.runs.execution import Execution
from fpa.runs.folder import RunFolder
from fpa.runs.processes import StopSignal
from fpa.runs.run import Run, build_model
from fpa.training.loop import CHECKPOINT_KIMG, Training, resume, run_to_end
from fpa.training.observers import observed


def train_run(
    run: Run,
    store: Path,
    out: Path,
    *,
    base: str | None,
    finished: str | None,
    real: str | None,
    extractor: str | None,
    log_every: int,
    checkpoint_kimg: float | None,
    device: str,
    threads: int,
    execution: Execution,
    stop: StopSignal,
    loggers: Collection[str] = (),
) -> None:
    """Train a run to the end of its budget and write its artifacts to `out`.

    base: folder of the finished run to start from. finished: that of one that stands in the place of
    this training and is taken over. real, extractor: features of the real images and
    the description of their network, for quick scores. Raises Stopped, with everything saved, when
    a signal asks for it.
    """
    folder = RunFolder(out)
    images, manifest = open_store(store)
    if folder.restore_finished(run, manifest.images_sha256):
        log.info("%s: trained already; delete the folder to train it again", out)
        return
    if run.is_finished:
        if not finished:
            raise UserError(f"{run.model.name} is a finished run; name its folder by --finished")
        folder.adopt_run(RunFolder(finished), run, manifest.images_sha256)
        log.info("%s: taken over from %s", out, finished)
        return
    chosen = devices.choose(device, threads, execution.precision)
    # What resumes from a state of its own needs no base any more.
    if run.base and not base and not folder.checkpoints():
        raise UserError(f"{run.model.name} starts from a finished run; name its folder by --base")
    if processes.is_worker():
        distributed.init(chosen)
    if real and features.load(real).info.images_sha256 != manifest.images_sha256:
        raise UserError(
            f"{real} is of other images than {store} holds; delete it, and it is made again"
        )
    watch, picture = _watch(run, real, extractor, chosen)
    training = Training(
        run,
        EpochSampler(images, run.training.batch_size, run.seed),
        manifest.images_sha256,
        chosen,
        log_every,
        watch,
        RunFolder(base).read_weights() if base and run.base else None,
        stop,
        checkpoint_kimg or CHECKPOINT_KIMG,
        execution,
        picture,
    )
    train(training, out, loggers)
    distributed.shut_down()
    log.info("%s: trained, %g kimg", out, training.kimg())


def train(training: Training, folder: Path, loggers: Collection[str] = ()) -> None:
    """Train to the end of the budget and write the run's artifacts to `folder`.

    Resumes from the newest checkpoint in `folder`/state. loggers: names of those that are told
    (fpa.training.loggers). Raises Stopped, with everything saved, when a signal asks for it, here
    or earlier in the block of `training.stop`.
    """
    files, first = RunFolder(folder), distributed.rank() == 0
    lock = locked(files.state, f"training in {folder}") if first else nullcontext()
    with training.stop, lock:
        resume(training, files)
        with observed(training, files, loggers) if first else nullcontext(()) as observers:
            result = run_to_end(training, files, observers)
            if first:
                files.write_result(result)
            distributed.barrier()


def _watch(
    run: Run, real: str | None, extractor: str | None, device: torch.device
) -> tuple[Watch | None, Snapshot | None]:
    """The quick score and its snapshots, if the run wants one and the real features are there."""
    if not run.training.watch_kimg or not real or processes.rank():
        return None, None
    if not extractor:
        raise UserError("--real needs --extractor, the description of the network behind it")
    with shapes_only():
        latent_dim = build_model(run).latent_dim
    budget, values = run.training, features.load(real).values
    space, count = Space.parse(budget.watch_space), budget.watch_images
    watch = QuickScore(values, space, extractor, latent_dim, count, run.seed, device)
    return watch, snapshot(latent_dim, run.seed, device)
