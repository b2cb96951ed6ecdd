"""What lies in a run's folder: the one reader and writer of it. Nothing here needs torch to look at a run."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias

import safetensors
from pydantic import BaseModel, ConfigDict, ValidationError

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError, one_line
from fpa.core.files import (
    atomic_path,
    canonical_json,
    file_digest,
    read_record,
    write_bytes,
    write_json,
    write_text,
)
from fpa.core.lazy import pd, safetensors_torch, torch
from fpa.core.progress import log
from fpa.core.provenance import STAGES
from fpa.models.interface import Weights
from fpa.runs.run import Json, Run

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT_CHECKPOINTS = 2
"""The newest ones of a training."""
Number: TypeAlias = int | float
"""A number that stays what it is in JSON: 64 and 64.0 are two spellings."""
History: TypeAlias = list[dict[str, float]]
"""Rows of a training's history: step, kimg, losses, and quick scores where there are some."""


class _Record(BaseModel):
    """A JSON file. What it says beyond the fields is kept, and what it leaves out is not written."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def as_json(self) -> Json:
        return self.model_dump(exclude_unset=True)

    def with_values(self, **values: object) -> Self:
        return self.model_validate({**self.as_json(), **values})


class Best(_Record):
    """The best checkpoint of a training that was watched."""

    kimg: Number
    fid: Number | None
    """Its quick score; None where it is not known."""


class TrainingSummary(_Record):
    """What a finished training was (train.json)."""

    run: Json = {}
    """The resolved run, as JSON."""
    digest: str
    """The run's."""
    images_sha256: str | None = None
    """Of the prepared images; None where an imported run does not know them."""
    weights_sha256: str | None = None
    """None in files of version 0.2 and before."""
    steps: int = 0
    kimg: Number = 0
    best: Best | None = None
    parameters: dict[str, int] = {}
    """By network."""
    stages: dict[str, int] = {}
    versions: dict[str, str] = {}
    hardware: Json = {}
    """Empty of an imported run."""
    precision: list[str] = []
    """What was less exact than float32."""
    seconds_of_last_attempt: Number = 0
    official: Json = {}
    """Of an imported run: the published checkpoint's model_type and sha256."""

    @classmethod
    def of(cls, run: Run, networks: Mapping[str, nn.Module], **values: object) -> Self:
        """The summary of a run's training that ends now, without the digest of its weights.

        values: of the fields that are not known from the run, its networks and this process.
        """
        counts = {
            n: sum(p.numel() for p in network.parameters()) for n, network in networks.items()
        }
        known = {"run": run.as_json(), "digest": run.digest, "parameters": counts}
        made_by = {"stages": {"train": STAGES["train"]}, "versions": provenance.versions()}
        return cls.model_validate({**known, **made_by, **values})


class TrainingResult(NamedTuple):
    """What a training has made when it ends."""

    run: Run
    weights: Weights
    """Networks, what other runs start from, and the best of both, by name."""
    history: History
    summary: TrainingSummary


class Cost(_Record):
    """Parameters, multiply-adds and speed of a run's model (cost.json)."""

    dataset: str = ""
    resolution: int = 0
    model: str = ""
    kimg: Number = 0
    generator_parameters: int | None = None
    discriminator_parameters: int | None = None
    generator_multiply_adds: int | None = None
    """For one image, as are the discriminator's."""
    discriminator_multiply_adds: int | None = None
    """None of a discriminator that is not called with images alone."""
    training_images_per_second: float
    sampling_images_per_second: float = 0
    batch_size: int = 0
    hardware: Json = {}

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A cost from its file; UserError when it is missing or no cost file."""
        return read_record(cls, path, "is no cost file; python -m fpa cost makes them")


State = Literal["training", "finished", "stopped", "failed"]
Numbers = dict[str, float | None]
"""Losses or scores by name; None for what is NaN or infinite, which JSON lacks."""


class Status(BaseModel):
    """What a training says of itself while it runs; times are seconds since 1970, rows its history's."""

    state: State
    reason: str = ""
    """Why it stopped or failed."""
    step: int
    steps: int
    kimg: float
    images_per_second: float | None = None
    """Over the last two minutes."""
    seconds_left: float | None = None
    """At the mean speed of this attempt, quick scores and checkpoints included."""
    nan_reloads: int = 0
    """How often it went back to a checkpoint, after a NaN."""
    losses: Numbers = {}
    """The newest history row."""
    score: Numbers = {}
    """The newest row with a quick score."""
    best: Numbers = {}
    """kimg and fid of the best checkpoint."""
    started: float
    updated: float
    host: str
    pid: int
    slurm_job: str | None = None


class RunFolder:
    """A run's folder. Paths are there whether the files are or not."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.run = self.path / artifacts.RUN
        self.weights = self.path / artifacts.WEIGHTS
        self.history = self.path / artifacts.HISTORY
        self.summary = self.path / artifacts.SUMMARY
        self.cost = self.path / artifacts.COST
        self.status = self.path / artifacts.STATUS
        self.snapshots = self.path / artifacts.SNAPSHOTS
        self.state = self.path / artifacts.STATE

    def __str__(self) -> str:
        return str(self.path)

    # The run, its cost and its status -----------------------------------------------------------

    def write_run(self, run: Run) -> None:
        write_json(self.run, run.as_json())

    def read_cost(self) -> Cost | None:
        return Cost.read(self.cost) if self.cost.exists() else None

    def read_status(self) -> Status | None:
        """The training's status; None where there is none, or none that can be read."""
        try:
            return Status.model_validate_json(self.status.read_bytes())
        except (OSError, ValidationError):
            return None

    # A finished training ------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether the training has ended. The summary is the last file that it writes."""
        return self.summary.exists()

    def read_summary(self, made_by: str = "python -m fpa train") -> TrainingSummary:
        """What a finished training was; UserError when there is none. made_by: what would write it."""
        wrong = "does not describe a finished training; train it again"
        return read_record(TrainingSummary, self.summary, wrong, made_by)

    def summary_of(self, run: Run) -> TrainingSummary | None:
        """What the training of this run was; None when it is not finished in this folder."""
        try:
            summary = self.read_summary()
        except UserError:
            return None
        return summary if summary.digest == run.digest else None

    def read_weights(self) -> dict[str, dict[str, Tensor]]:
        """All that a finished run keeps (TrainingResult.weights): name -> tensors by name."""
        if not self.weights.exists():
            raise UserError(f"{self} holds no finished run; train it first")
        tensors = read_tensors(self.weights)
        if self.is_finished:
            expected = self.read_summary().weights_sha256
            if expected not in (None, file_digest(self.weights)):
                raise UserError(
                    f"{self.weights} is not the file that {self.summary} is about; put that one back, "
                    "or delete the folder to train the run again"
                )
        networks: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            network, _, name = key.partition(".")
            networks.setdefault(network, {})[name] = value
        return networks

    def write_result(self, result: TrainingResult) -> None:
        """Write a finished training's files, by way of their backup, and drop the checkpoints."""
        self.backup.write_files(result)
        self.publish_backup()

    def write_files(self, result: TrainingResult) -> None:
        """Write weights.safetensors, history.csv and train.json, which says the weights' digest."""
        # Copies, because safetensors refuses tensors that share memory.
        named = {
            f"{name}.{key}": value.cpu().contiguous().clone()
            for name, part in result.weights.items()
            for key, value in part.items()
        }
        # One key only: safetensors writes several in an order that changes from process to process.
        metadata = {"run": canonical_json(result.run.as_json())}
        content = safetensors_torch.save(named, metadata=metadata)
        write_bytes(self.weights, content)
        write_text(self.history, pd.DataFrame(result.history).to_csv(index=False))
        sha256 = hashlib.sha256(content).hexdigest()
        write_json(self.summary, result.summary.with_values(weights_sha256=sha256).as_json())

    def adopt_run(self, source: RunFolder, run: Run, images_sha256: str) -> None:
        """Make a run's files of a finished run that stands in the place of its training.

        images_sha256: of the images that it is scored on. UserError when `source` is not the run that
        was planned with.
        """
        summary = source.read_summary()
        if summary.digest != run.model.finished:
            raise UserError(
                f"{source} is another run than the one that was planned with; plan the experiment "
                "again"
            )
        backup = self.backup
        for name in (artifacts.WEIGHTS, artifacts.HISTORY):
            with atomic_path(backup.path / name) as temporary:
                shutil.copyfile(source.path / name, temporary)
        ours = summary.with_values(
            run=run.as_json(), digest=run.digest, images_sha256=images_sha256
        )
        write_json(backup.summary, ours.as_json())
        self.publish_backup()

    # Its backup ---------------------------------------------------------------------------------
    #
    # A finished run's files have second names: hard links below its state, out of everyone's reach.
    # Snakemake removes the outputs of a job that failed, even one that failed after the training was
    # done, and those of a job that it starts again. The links cost no room, and a training that finds
    # them puts its results back instead of training again.

    RESULTS = (artifacts.WEIGHTS, artifacts.HISTORY, artifacts.SUMMARY)
    """The summary is the last: where it is, all is."""

    @property
    def backup(self) -> RunFolder:
        return RunFolder(self.state / artifacts.KEPT)

    def publish_backup(self) -> None:
        """Give the backup's files their names in the run's folder, and drop the checkpoints."""
        for name in self.RESULTS:
            with atomic_path(self.path / name) as temporary:
                _link(self.backup.path / name, temporary)
            # As new as if the training had just ended: Snakemake compares times.
            os.utime(self.path / name)
        for checkpoint in self.checkpoints():
            checkpoint.unlink(missing_ok=True)

    def restore_finished(self, run: Run, images_sha256: str) -> bool:
        """Put a finished run's files back; whether this run is finished, so that nothing is to be done.

        images_sha256: of the prepared images. UserError when the run was trained on other ones.
        """
        for folder in (self.backup, self):
            if not all((folder.path / name).exists() for name in self.RESULTS):
                continue
            summary = folder.read_summary()
            # An imported run may have a budget that it has not spent.
            if summary.digest != run.digest or summary.steps < run.steps:
                continue
            if summary.images_sha256 not in (images_sha256, None):
                raise UserError(
                    f"{self} was trained on other images than are prepared now; prepare the same "
                    "images again, or delete the folder to train afresh"
                )
            if folder is not self:
                self.publish_backup()
            return True
        return False

    # A training that is not finished ------------------------------------------------------------

    def checkpoints(self) -> list[Path]:
        """Files of the resumable state, the newest first."""
        return sorted(self.state.glob("step-*.pt"), reverse=True)

    def newest_step(self) -> int | None:
        """The step of the newest checkpoint."""
        found = self.checkpoints()
        return int(found[0].stem.partition("-")[2]) if found else None

    def drop_unfinished(self) -> None:
        """Delete what a training that was killed has left half written. For who holds the lock."""
        own = (*self.RESULTS, artifacts.STATUS, artifacts.SNAPSHOTS)
        left = [path for name in own for path in self.path.glob(f".{name}.*.part")]
        for path in [*left, *self.state.rglob(".*.part")]:
            path.unlink(missing_ok=True)

    def save_checkpoint(self, step: int, state: Json) -> None:
        """Write a checkpoint whole, then drop all but the newest ones."""
        # Through memory: torch's own writer turns a full disk into an unreadable error.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(self.state / f"step-{step:09d}.pt", buffer.getbuffer())
        for old in self.checkpoints()[KEPT_CHECKPOINTS:]:
            old.unlink()

    def load_checkpoint(self) -> Json | None:
        """The newest checkpoint that can be read, None if there is none at all.

        Raises UserError when there are checkpoints and none of them can be read.
        """
        paths = self.checkpoints()
        for path in paths:
            try:
                _check_sums(path)
                state = torch.load(path, map_location="cpu", weights_only=True)
                if not isinstance(state, dict):
                    raise TypeError("it does not hold the state of a training")
                return state
            except Exception as error:
                # torch raises half a dozen types for a damaged archive.
                log.warning("%s cannot be read (%s); trying the one before", path, one_line(error))
        if paths:
            raise UserError(
                f"no checkpoint in {self.state} can be read; delete the folder to train afresh"
            )
        return None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name; UserError when it is missing or damaged."""
    try:
        return safetensors_torch.load_file(path)
    except (OSError, ValueError, TypeError, KeyError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot read {path}: {one_line(error)}") from error


def _check_sums(path: Path) -> None:
    """Compare the file's content with the CRC-32s in it, which torch writes but does not read.

    torch compresses nothing: what unpacks to more than the file's size is not a checkpoint.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise zipfile.BadZipFile("its parts are larger than the file")
        if (part := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{part} is damaged")


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
