"""A training from its files: the run, its images, and the quick score on the way."""

from collections.abc import Collection
from pathlib import Path

import torch

from fpa.core import artifacts, distributed
from fpa.core.errors import UserError
from fpa.core.files import read_json
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
from fpa.runs.finished import load_weights, take_over
from fpa.runs.keeping import finish_again
from fpa.runs.processes import StopSignal
from fpa.runs.run import Run, build_model
from fpa.training.loop import CHECKPOINT_KIMG, Training, train


def train_run(
    run_file: str | Path,
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
    run = Run.from_json(read_json(run_file, made_by="python -m fpa plan --write"), run_file)
    images, manifest = open_store(store)
    if finish_again(out, run, manifest.images_sha256):
        log.info("%s: trained already; delete the folder to train it again", out)
        return
    if run.is_finished:
        if not finished:
            raise UserError(f"{run.model.name} is a finished run; name its folder by --finished")
        take_over(Path(finished), run, manifest.images_sha256, out)
        log.info("%s: taken over from %s", out, finished)
        return
    chosen = devices.choose(device, threads, execution.precision)
    # What goes on from a state of its own needs no base any more.
    if run.base and not base and not any((out / artifacts.STATE).glob("step-*.pt")):
        raise UserError(f"{run.model.name} starts from a finished run; name its folder by --base")
    if processes.is_worker():
        distributed.init(chosen)
    if real and features.load(real).about.images_sha256 != manifest.images_sha256:
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
        load_weights(Path(base)) if base and run.base else None,
        stop,
        checkpoint_kimg or CHECKPOINT_KIMG,
        execution,
        picture,
    )
    train(training, out, loggers)
    distributed.shut_down()
    log.info("%s: trained, %g kimg", out, training.kimg())


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
