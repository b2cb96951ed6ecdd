"""Weights & Biases. Its own environment variables say where to: WANDB_PROJECT, WANDB_MODE, ..."""

import os
from collections.abc import Mapping

import numpy as np

from fpa.training.loggers.base import Beginning, grid, numbers

PROJECT = "fpa"
"""Where the environment names no project."""


class WandB:
    """One W&B run for one run, in however many attempts; its files lie in the run's folder."""

    def __init__(self, beginning: Beginning) -> None:
        import wandb

        self.wandb = wandb
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=beginning.run["digest"][:16],
            name=beginning.name,
            config=dict(beginning.run),
            dir=str(beginning.folder),
            resume="allow",
            # A training's output is its own.
            settings=wandb.Settings(console="off", silent=True),
        )
        # Its own count of steps never goes back, as a training does that continues.
        self.run.define_metric("*", step_metric="step")

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        values: dict[str, object] = {"step": int(row["step"]), **numbers(row)}
        if images is not None:
            values["snapshot"] = self.wandb.Image(grid(images).squeeze())
        self.run.log(values)

    def close(self, state: str) -> None:
        self.run.summary["state"] = state
        self.run.finish(exit_code=0 if state == "finished" else 1)
