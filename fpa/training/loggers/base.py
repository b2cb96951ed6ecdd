"""What a logger is, and how one is added."""

import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fpa.core.errors import UserError
from fpa.core.registry import Registry, load_target


@dataclass(frozen=True)
class Beginning:
    """Where a logger comes in."""

    run: Mapping[str, Any]
    """The resolved run, as in its run.json."""
    folder: Path
    """The run's folder."""
    step: int
    """What is logged is of later steps: 0 for a new training, more for one that continues."""

    @property
    def name(self) -> str:
        """The run's name, for people."""
        run = self.run
        return f"{run['dataset']['name']} {run['model']['name']} seed {run['seed']}"

    def settings(self) -> dict[str, Any]:
        """The run's settings in one level, such as `model.settings.painter.steps`."""
        return dict(_flat(self.run))


class Logger(Protocol):
    """One training's connection to a service. It may raise: the training goes on without it."""

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        """A new row of the history (`step` and `kimg` in it), and its snapshot, where it has one.

        images: uint8 (N, C, H, W). After a NaN, or when it continues, a training repeats steps.
        """

    def close(self, state: str) -> None:
        """The training is `finished`, was `stopped` and can be continued, or has `failed`."""


@dataclass(frozen=True)
class LoggerKind:
    """A kind of logger: its name, the package that it needs, and its class.

    target: a function of a Beginning that returns a Logger, or "package.module:Name" of one.
    """

    name: str
    package: str
    target: Any

    def check(self, where: str) -> None:
        """UserError when its package is not installed."""
        found = importlib.util.find_spec(self.package)
        # A folder of this name, such as the one of W&B's files, is no package.
        if found is None or found.origin is None:
            raise UserError(
                f"{where}: {self.name} needs the package {self.package}, which is not installed; "
                f"`pip install {self.package}`, or leave {self.name} out"
            )

    def begin(self, beginning: Beginning) -> Logger:
        """Connect a training; UserError when its package is not installed."""
        self.check("runtime.loggers")
        return load_target(self.target)(beginning)


LOGGERS: Registry[LoggerKind] = Registry("logger")
"""Every kind of logger."""


def numbers(row: Mapping[str, float]) -> dict[str, float]:
    """Of a history row, all but the step."""
    return {name: float(value) for name, value in row.items() if name != "step"}


def finite_numbers(row: Mapping[str, float]) -> dict[str, float]:
    """The same without NaN and infinity, for services that refuse them."""
    return {name: value for name, value in numbers(row).items() if math.isfinite(value)}


def grid(images: np.ndarray, columns: int = 4) -> np.ndarray:
    """uint8 images (N, C, H, W) row by row as one (rows H, columns W, C), without gaps."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    filled = np.zeros((rows * columns, channels, height, width), np.uint8)
    filled[:n] = images
    parts = filled.reshape(rows, columns, channels, height, width)
    return parts.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else key)
    elif value is not None:
        yield name, value
