"""A training from and to its files: the run, its images, the quick score on the way, and what it leaves."""

import os
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path

import torch

from fpa.core import artifacts, distributed
from fpa.core.errors import UserError
from fpa.core.files import locked
from fpa.core.progress import log
from fpa.core.provenance import STAGES
from fpa.data.sampler import EpochSampler
from fpa.data.store import check_dataset, open_store
from fpa.evaluation import extractors, features
from fpa.evaluation.features import FeatureInfo
from fpa.evaluation.protocols import Space
from fpa.evaluation.quick_score import QuickScore, Watch
from fpa.evaluation.sampling import Snapshot, snapshot
from fpa.models.interface import Weights
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
    the description of their network, for quick scores; where a run asks for these and neither is
    given, they are looked for beside the store, as the workflow names them, and made if need be.
    UserError, before anything is written, unless all of these belong to the run. Raises Stopped, with
    everything saved, when a signal asks for it.
    """
    folder = RunFolder(out)
    images, manifest = open_store(store)
    check_dataset(manifest, run.dataset, store)
    if folder.is_finished and (other := folder.read_summary()).digest != run.digest:
        raise UserError(
            f"{out} holds another finished run, seed{other.run.get('seed')}-{other.digest[:10]}, not "
            f"{run.name}; name another folder by --out"
        )
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
    watch, picture = _watch(run, store, real, extractor, chosen)
    training = Training(
        run,
        EpochSampler(images, run.training.batch_size, run.seed),
        manifest.images_sha256,
        chosen,
        log_every,
        watch,
        _base_weights(run, base) if base and run.base else None,
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
        if first:
            files.drop_unfinished()
        resume(training, files)
        with observed(training, files, loggers) if first else nullcontext(()) as observers:
            result = run_to_end(training, files, observers)
            if first:
                files.write_result(result)
            distributed.barrier()


def _base_weights(run: Run, base: str) -> Weights:
    """The weights of the finished run that a run starts from; UserError unless it is that one."""
    folder = RunFolder(base)
    weights, found = folder.read_weights(), folder.read_summary().digest
    if run.base and found != run.base.digest:
        raise UserError(
            f"{base} holds another run ({found[:10]}) than {run.model.name} starts from "
            f"({run.base.digest[:10]}); name {run.base.folder} of the results folder by --base"
        )
    return weights


def _watch(
    run: Run,
    store: Path,
    real: str | None,
    extractor: str | None,
    device: torch.device,
) -> tuple[Watch | None, Snapshot | None]:
    """The quick score and its snapshots, if the run wants one.

    UserError unless the real features are of the store's images, in the space of the quick scores.
    """
    if real and not extractor:
        raise UserError("--real needs --extractor, the description of the network behind it")
    if real:
        features.load_of_store(real, store)
    if not run.training.watch_kimg or processes.rank():
        return None, None
    space, count = Space.parse(run.training.watch_space), run.training.watch_images
    store = Path(os.path.abspath(store))
    path = Path(real or store.parent / artifacts.real_features(store.name, space))
    described = extractor or extractors.obtained(space.extractor, store.parent)
    found = features.of_store(store, space, described, device, path)
    _check_space(found.info, space._asdict(), path)
    with shapes_only():
        latent_dim = build_model(run).latent_dim
    watch = QuickScore(found.values, space, described, latent_dim, count, run.seed, device)
    _check_space(found.info, watch.network.identity, path)
    return watch, snapshot(latent_dim, run.seed, device)


def _check_space(info: FeatureInfo, expected: Mapping[str, str], path: Path) -> None:
    """UserError where features were made in another way than the run's quick scores are."""
    for key, value in expected.items():
        if (found := getattr(info, key)) != value:
            raise UserError(
                f"{path}: its features have {key} {found}, the quick scores of the run {value}; "
                "make them as these are (python -m fpa features --space), or leave --real out"
            )
    if info.stages.get("features") != STAGES["features"]:
        raise UserError(f"{path} is of another version of this code; delete it and run again")
