"""The training loop: knows batches, checkpoints, signals and budgets, and of the model its interface."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fpa.core import distributed, provenance
from fpa.core.errors import Stopped, UserError
from fpa.core.progress import Progress, log
from fpa.data.sampler import EpochSampler
from fpa.evaluation.metrics import FRECHET
from fpa.evaluation.quick_score import Watch
from fpa.evaluation.sampling import Snapshot
from fpa.models.interface import Model, Refines, StartsFromRun, StartsOthers, Weights
from fpa.models.loading import check_processes
from fpa.runs.execution import (
    Execution,
    full_precision,
    random_state,
    set_random_state,
    unchanged_random_state,
)
from fpa.runs.folder import Best, History, RunFolder, State, TrainingResult, TrainingSummary
from fpa.runs.processes import Interrupted, StopSignal
from fpa.runs.run import Json, Run, build_model, differences
from fpa.training.batches import Batches

MAX_RELOADS = 10
"""NaN losses in a row, without a checkpoint in between, before a training gives up."""
CHECKPOINT_KIMG = 20.0
"""Thousand images between two checkpoints, where nothing else is asked for."""
MOST_SNAPSHOTS = 32
"""Of a training, however long."""


class NewRow(NamedTuple):
    """A row of the history that was made now, and the snapshot of that moment where there is one."""

    values: dict[str, float]
    images: np.ndarray | None
    """uint8 (N, C, H, W)."""


class BestCheckpoint(NamedTuple):
    """The networks at the best quick score so far."""

    kimg: float
    fid: float
    weights: dict[str, dict[str, Tensor]]


class Training:
    """One run on its way from the first step to the last, in memory."""

    def __init__(
        self,
        run: Run,
        feed: EpochSampler,
        images_digest: str,
        device: torch.device,
        log_every: int,
        watch: Watch | None = None,
        base_weights: Weights | None = None,
        stop: StopSignal | None = None,
        checkpoint_kimg: float = CHECKPOINT_KIMG,
        execution: Execution = Execution(),
        snapshot: Snapshot | None = None,
    ) -> None:
        self.run, self.device, self.log_every, self.watch = run, device, log_every, watch
        self.images_digest = images_digest
        batch_size = run.training.batch_size
        check_processes(run.model.class_, batch_size, distributed.world_size())
        self.steps, self.step, self.reloads = run.steps, 0, 0
        self.nan_reloads = 0
        self.checkpoint_every = _every(checkpoint_kimg, batch_size)
        self.watch_every = _every(run.training.watch_kimg, batch_size)
        torch.manual_seed(run.seed)
        self.model: Model = build_model(run)
        self.model.to(device)
        if base_weights is not None:
            if not isinstance(self.model, StartsFromRun):
                raise UserError(f"{run.model.class_} starts from no run: it has no start_from")
            self.model.start_from(base_weights)
        shape = (batch_size, *run.image_shape)
        self.execution = execution.prepare(self.model, shape, device)
        self.feed = feed
        self.stop = stop or StopSignal()
        self.history: History = []
        self.best: BestCheckpoint | None = None
        self.snapshot = snapshot
        self.new_rows: list[NewRow] = []
        """Rows of the history that no observer was told of yet."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @cached_property
    def batches(self) -> Batches:
        """Made when the first step asks for one: it may take a good part of the device's memory."""
        return Batches(self.feed, self.device)

    def kimg(self) -> float:
        """Thousands of real images shown so far."""
        return self.step * self.run.training.batch_size / 1000

    def advance(self) -> None:
        """One step, with the history row and quick score that fall due behind it.

        Raises Interrupted when a signal ends a quick score; the next call begins with it.
        """
        if self.log_is_due():
            self._record()
        if self.step == self.steps:
            return
        batch = self.batches.next()
        with self.execution.step(self.device):
            losses = self.model.step(batch)
        for name, value in distributed.all_reduce_means(losses).items():
            self._sums[name] = self._sums.get(name, 0) + value.double()
            self._counts[name] = self._counts.get(name, 0) + 1
        self.step += 1
        if self.log_is_due():
            self._record()

    def log_is_due(self) -> bool:
        """Whether a history row is due that was not made yet."""
        made = bool(self.history) and self.history[-1]["step"] == self.step
        due = self.step == 0 or self._due(self.log_every) or self._due(self.watch_every)
        return due and not made

    def _due(self, every: int) -> bool:
        return bool(every) and (self.step % every == 0 or self.step == self.steps)

    def _record(self) -> None:
        """A history row: mean losses since the last one, and the quick score when it is due."""
        found = distributed.broadcast_object(self._score)
        if found is None:
            raise Interrupted
        scores, images = found
        row: dict[str, float] = {"step": self.step, "kimg": self.kimg()}
        row |= {name: (total / self._counts[name]).item() for name, total in self._sums.items()}
        row |= scores
        self._sums, self._counts = {}, {}
        if scores and (self.best is None or row["fid"] < self.best.fid):
            weights = {name: _copy(part) for name, part in best_of(self.model).items()}
            self.best = BestCheckpoint(row["kimg"], row["fid"], weights)
        self.history.append(row)
        self.new_rows.append(NewRow(row, images))

    def weights(self) -> Weights:
        """All that a finished run keeps."""
        return kept(self.model, self.best.weights if self.best else {})

    def result(self, seconds: float) -> TrainingResult:
        """What the training has made, after so many seconds of this attempt."""
        best = self.best and Best(kimg=self.best.kimg, fid=self.best.fid)
        summary = TrainingSummary.of(
            self.run,
            self.model.networks,
            images_sha256=self.images_digest,
            steps=self.step,
            kimg=self.kimg(),
            best=best,
            nan_reloads=self.nan_reloads,
            seconds_of_last_attempt=round(seconds, 1),
            hardware=provenance.hardware(self.device, torch.get_num_threads()),
            **self.execution.record(),
        )
        return TrainingResult(self.run, self.weights(), self.history, summary)

    def _score(self) -> tuple[dict[str, float], np.ndarray | None] | None:
        """The quick score if it is due, and its snapshot if it has one; None when a signal ended it."""
        if not self.watch or not (self.step == 0 or self._due(self.watch_every)):
            return {}, None
        try:
            # It may take minutes, a scheduler waits for seconds.
            with unchanged_random_state(self.device), full_precision(), self.stop.interruptible():
                scores = self.watch(self.model.ema)
                if self.step == 0 and isinstance(self.model, Refines):
                    # What its refinement has to improve on.
                    found = self.watch(self.model.unrefined)
                    scores |= {f"unrefined_{name}": value for name, value in found.items()}
                shown = snapshot_is_due(self.step, self.steps, self.watch_every)
                return scores, self.snapshot(self.model.ema) if self.snapshot and shown else None
        except Interrupted:
            return None

    def losses_are_finite(self) -> bool:
        """Whether no loss since the last history row, nor in it, was NaN or infinite."""
        sums = [float(total) for total in self._sums.values()]
        last = self.history[-1].values() if self.history else ()
        return bool(np.isfinite([*sums, *last]).all())

    def state_dict(self) -> Json:
        """What a checkpoint holds."""
        return {
            "config": self.run.as_json(),
            "images": self.images_digest,
            "step": self.step,
            "reloads": self.reloads,
            "nan_reloads": self.nan_reloads,
            "model": self.model.state_dict(),
            "feed": self.feed.state_dict(),
            "random": random_state(self.device),
            "history": self.history,
            "best": self.best and self.best._asdict(),
            "sums": self._sums,
            "counts": self._counts,
        }

    def load_state_dict(self, state: Json) -> None:
        """Resume from a checkpoint; UserError when it is another run's or of other images."""
        different = differences(state["config"], self.run.as_json())
        if different:
            raise UserError(
                "this folder's training was started with other settings: "
                + "; ".join(f"{key} was {old}, is now {new}" for key, old, new in different)
                + "; restore them, or train into another folder"
            )
        # An imported training does not know its images.
        if state["images"] not in (None, self.images_digest):
            raise UserError(
                "the prepared images changed since this training began; "
                "prepare the same images again, or delete the run's state folder to train afresh"
            )
        self.step, self.reloads = state["step"], state["reloads"]
        # Checkpoints of version 0.2's first days do not count them.
        self.nan_reloads = state.get("nan_reloads", 0)
        self.model.load_state_dict(state["model"])
        self.feed.load_state_dict(state["feed"])
        set_random_state(state["random"], self.device)
        self.history = list(state["history"])
        self.best = state["best"] and BestCheckpoint(**state["best"])
        self.new_rows.clear()
        self._sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint: one, because the state of all processes is the same."""
        if distributed.rank() == 0:
            folder.save_checkpoint(self.step, self.state_dict())

    def reload(self, folder: RunFolder) -> None:
        """After a NaN: back to the last checkpoint, and on with other random numbers."""
        reloads, nan_reloads = self.reloads + 1, self.nan_reloads + 1
        state = folder.load_checkpoint()
        if state is None or reloads > MAX_RELOADS:
            raise UserError(
                f"a loss or quick score was NaN {reloads} times after step {state['step'] if state else 0}; "
                "lower the learning rate or change the model's settings"
            )
        log.warning(
            "NaN at step %d; resuming from the checkpoint of step %d", self.step, state["step"]
        )
        self.load_state_dict(state)
        self.reloads, self.nan_reloads = reloads, nan_reloads
        torch.manual_seed(self.run.seed + 1_000_003 * (self.step + reloads))


class Observer:
    """Is told of a training while it runs. It changes nothing in it, and cannot stop it."""

    def on_step(self, training: Training) -> None:
        """After a step, whose losses are finite, and with the rows of `training.new_rows`."""

    def on_rollback(self, training: Training) -> None:
        """After a NaN: the training is at an earlier step again."""

    def on_end(self, training: Training, state: State, reason: str) -> None:
        """It is `finished`, was `stopped` and can be continued, or has `failed`, and why."""


def resume(training: Training, folder: RunFolder) -> None:
    """Bring a training to where its newest checkpoint stands, or save the first one."""
    state = folder.load_checkpoint()
    distributed.barrier()
    if state is None:
        training.save(folder)
        return
    try:
        training.load_state_dict(state)
    except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the checkpoint in {folder.state} does not fit this version of the code "
            f"({str(error).splitlines()[0]}); delete the folder to train afresh"
        ) from error
    log.info("resuming from step %d of %d", training.step, training.steps)


def run_to_end(
    training: Training, folder: RunFolder, observers: Sequence[Observer] = ()
) -> TrainingResult:
    """Train from where it stands to the end of the budget; checkpoints go to `folder`.

    Raises Stopped, with everything saved, when a signal asks for it (`training.stop`).
    """
    stop, started = training.stop, time.monotonic()
    bar = Progress(training.steps, training.run.label, "steps", training.step)
    stopping = distributed.broadcast_flag(bool(stop.received))
    while _unfinished(training) and not stopping:
        with suppress(Interrupted):
            training.advance()
        bar.update(training.step - bar.done, format_progress(training.history))
        saving = training.step % training.checkpoint_every == 0
        logged = bool(training.history) and training.history[-1]["step"] == training.step
        last = training.step == training.steps
        stopping = distributed.broadcast_flag(bool(stop.received))
        if (saving or logged or last or stopping) and not training.losses_are_finite():
            training.reload(folder)
            bar.update(training.step - bar.done)
            for observer in observers:
                observer.on_rollback(training)
            continue
        for observer in observers:
            observer.on_step(training)
        training.new_rows.clear()
        if saving or last:
            training.reloads = 0
            training.save(folder)
    bar.close()
    if _unfinished(training):
        training.save(folder)
        raise Stopped(
            f"{stop.received}: saved step {training.step} of {training.steps}; "
            "the same command resumes from there"
        )
    return training.result(time.monotonic() - started)


def snapshot_is_due(step: int, steps: int, every: int) -> bool:
    """Whether a quick score, one after `every` steps, comes with a snapshot.

    At first, every one does; a long training has one at every second, third, ... and the last.
    """
    scores = steps // every + 1
    spacing = -(-scores // (MOST_SNAPSHOTS - 1))
    return step == steps or step % (every * spacing) == 0


def _unfinished(training: Training) -> bool:
    return training.step < training.steps or training.log_is_due()


def kept(model: Model, best: Weights) -> Weights:
    """All that a finished run keeps: networks, what others start from, and the best of both."""
    networks = {name: network.state_dict() for name, network in model.networks.items()}
    return {**networks, **_start_for_others(model), **best}


def best_of(model: Model) -> dict[str, dict[str, Tensor]]:
    """What is kept of a model as it is now, where that is the best checkpoint."""
    others = {f"best_{name}": tensors for name, tensors in _start_for_others(model).items()}
    return {"best": model.ema.state_dict(), **others}


def _start_for_others(model: Model) -> dict[str, dict[str, Tensor]]:
    return model.start_for_others() if isinstance(model, StartsOthers) else {}


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


def _every(kimg: float, batch_size: int) -> int:
    """Steps in so many thousand images: 0 for 0, else at least 1."""
    return max(1, round(kimg * 1000 / batch_size)) if kimg else 0


def format_progress(history: History) -> str:
    """The newest losses and quick score, in short, for the progress bar."""
    if not history:
        return ""
    # Which network's features the distance is in, the run says: an FID is the distance in Inception's.
    shown = {k: v for k, v in history[-1].items() if k not in ("step", "kimg", "fid")}
    for row in reversed(history):
        if "fid" in row:
            shown[FRECHET] = row["fid"]
            break
    return ", ".join(f"{name} {value:.3g}" for name, value in shown.items())
