"""Services that a training's history and snapshots can be sent to: TensorBoard, W&B, MLflow.

A service is imported when a training is connected to it. A plug-in registers another one in LOGGERS.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fpa.core.errors import UserError
from fpa.core.files import canonical_json
from fpa.core.lazy import np
from fpa.core.registry import Registry
from fpa.data.picture import tile
from fpa.runs.run import Run

DEFAULT_PROJECT = "fpa"
"""Where the environment names no project (W&B) or experiment (MLflow)."""
TENSORBOARD_FOLDER = "tensorboard"
"""In a run's folder."""
MLFLOW_DIGEST = "fpa.digest"
"""The tag by which a run is found again."""
MLFLOW_LONGEST_VALUE = 500
"""Characters of a setting that every store takes."""
MLFLOW_STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True)
class RunInfo:
    """The training that a logger is told of."""

    run: Run
    folder: Path
    """The run's folder."""
    step: int
    """What is logged is of later steps: 0 for a new training, more for one that continues."""

    def settings(self) -> dict[str, object]:
        """The run's settings in one level, such as `model.settings.painter.steps`."""
        return dict(_flat(self.run.as_json()))


class Logger(Protocol):
    """One training's connection to a service. It may raise: the training continues without it."""

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        """A new row of the history (`step` and `kimg` in it), and its snapshot, where it has one.

        images: uint8 (N, C, H, W). After a NaN, or when it continues, a training repeats steps.
        """

    def close(self, state: str) -> None:
        """The training is `finished`, was `stopped` and can be continued, or has `failed`."""


@dataclass(frozen=True)
class LoggerKind:
    """A kind of logger: its name, the package that it needs, and its class."""

    name: str
    package: str
    connect: Callable[[RunInfo], Logger]
    """Usually a Logger's class. UserError, or any other one, where there is no connection."""

    def check(self, where: str) -> None:
        """UserError when its package is not installed."""
        found = importlib.util.find_spec(self.package)
        # A folder of this name, such as the one of W&B's files, is not a package.
        if found is None or found.origin is None:
            raise UserError(
                f"{where}: {self.name} needs the package {self.package}, which is not installed; "
                f"`pip install {self.package}`, or leave {self.name} out"
            )

    def begin(self, about: RunInfo) -> Logger:
        """Connect a training; UserError when its package is not installed."""
        self.check("runtime.loggers")
        return self.connect(about)


class TensorBoard:
    """An event file in the run's folder; `tensorboard --logdir results/runs` shows all runs.

    A training that continues begins another file.
    """

    def __init__(self, about: RunInfo) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = about.folder / TENSORBOARD_FOLDER
        # What an earlier attempt logged behind its checkpoint, the reader drops.
        purge = about.step + 1 if about.step else None
        self.writer = SummaryWriter(str(folder), purge_step=purge)
        self.writer.add_text("run", f"```\n{canonical_json(about.run.as_json())}\n```", about.step)

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        step = int(row["step"])
        for name, value in numbers(row).items():
            self.writer.add_scalar(name, value, step)
        if images is not None:
            self.writer.add_image("snapshot", sheet(images), step, dataformats="HWC")
        self.writer.flush()

    def close(self, state: str) -> None:
        self.writer.close()


class WandB:
    """One run of Weights & Biases for one run, in however many attempts; its files lie in the run's folder.

    Its own environment variables say where to: WANDB_PROJECT, WANDB_MODE, ...
    """

    def __init__(self, about: RunInfo) -> None:
        import wandb

        self.wandb = wandb
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", DEFAULT_PROJECT),
            id=about.run.digest[:16],
            name=about.run.label,
            config=about.run.as_json(),
            dir=str(about.folder),
            resume="allow",
            # A training's output is its own.
            settings=wandb.Settings(console="off", silent=True),
        )
        # Its own count of steps never goes back, as a training does that continues.
        self.run.define_metric("*", step_metric="step")

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        values: dict[str, object] = {"step": int(row["step"]), **numbers(row)}
        if images is not None:
            values["snapshot"] = self.wandb.Image(sheet(images).squeeze())
        self.run.log(values)

    def close(self, state: str) -> None:
        self.run.summary["state"] = state
        self.run.finish(exit_code=0 if state == "finished" else 1)


class MLflow:
    """One MLflow run for one run, in however many attempts.

    Its own environment variables say where to: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME.
    """

    def __init__(self, about: RunInfo) -> None:
        from mlflow import MlflowClient

        # A client of its own: nothing global in MLflow changes.
        self.client = MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", DEFAULT_PROJECT))
        self.run_id = self._earlier(experiment, about.run.digest)
        if self.run_id:
            self.client.update_run(self.run_id, status="RUNNING")
            return
        tags = {MLFLOW_DIGEST: about.run.digest}
        self.run_id = self.client.create_run(
            experiment, tags=tags, run_name=about.run.label
        ).info.run_id
        for name, value in about.settings().items():
            self.client.log_param(self.run_id, name, str(value)[:MLFLOW_LONGEST_VALUE])

    def _experiment(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        try:
            return self.client.create_experiment(name)
        except MlflowException:
            # Another training of the same workflow was faster.
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def _earlier(self, experiment: Any, digest: str) -> Any:
        query = f"tags.`{MLFLOW_DIGEST}` = '{digest}'"
        runs = self.client.search_runs([experiment], query, max_results=1)
        return runs[0].info.run_id if runs else None

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        step = int(row["step"])
        for name, value in finite_numbers(row).items():
            self.client.log_metric(self.run_id, name, value, step=step)
        if images is not None:
            picture = sheet(images).squeeze()
            self.client.log_image(self.run_id, picture, f"snapshots/{step:09d}.png")

    def close(self, state: str) -> None:
        self.client.set_terminated(self.run_id, status=MLFLOW_STATES[state])


def numbers(row: Mapping[str, float]) -> dict[str, float]:
    """Of a history row, all but the step."""
    return {name: float(value) for name, value in row.items() if name != "step"}


def finite_numbers(row: Mapping[str, float]) -> dict[str, float]:
    """The same without NaN and infinity, for services that refuse them."""
    return {name: value for name, value in numbers(row).items() if math.isfinite(value)}


def sheet(images: np.ndarray) -> np.ndarray:
    """A snapshot's images (N, C, H, W) four in a row without gaps, (rows H, 4 W, C)."""
    return tile(images, 4, gap=0, ground=0).transpose(1, 2, 0)


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else key)
    elif value is not None:
        yield name, value


LOGGERS: Registry[LoggerKind] = Registry("logger", LoggerKind)
"""Every kind of logger."""

LOGGERS.register("tensorboard", LoggerKind("tensorboard", "tensorboard", TensorBoard))
LOGGERS.register("wandb", LoggerKind("wandb", "wandb", WandB))
LOGGERS.register("mlflow", LoggerKind("mlflow", "mlflow", MLflow))
