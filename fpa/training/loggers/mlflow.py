"""MLflow. Its own environment variables say where to: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fpa.training.loggers.base import Beginning, finite_numbers, grid

EXPERIMENT = "fpa"
"""Where the environment names no experiment."""
DIGEST = "fpa.digest"
"""The tag by which a run is found again."""
LONGEST_VALUE = 500
"""Characters of a setting that every store takes."""
STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflow:
    """One MLflow run for one run, in however many attempts."""

    def __init__(self, beginning: Beginning) -> None:
        from mlflow import MlflowClient

        # A client of its own: nothing global in MLflow changes.
        self.client = MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
        self.run_id = self._earlier(experiment, beginning.run["digest"])
        if self.run_id:
            self.client.update_run(self.run_id, status="RUNNING")
            return
        tags = {DIGEST: beginning.run["digest"]}
        self.run_id = self.client.create_run(
            experiment, tags=tags, run_name=beginning.name
        ).info.run_id
        for name, value in beginning.settings().items():
            self.client.log_param(self.run_id, name, str(value)[:LONGEST_VALUE])

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
        query = f"tags.`{DIGEST}` = '{digest}'"
        runs = self.client.search_runs([experiment], query, max_results=1)
        return runs[0].info.run_id if runs else None

    def log(self, row: Mapping[str, float], images: np.ndarray | None) -> None:
        step = int(row["step"])
        for name, value in finite_numbers(row).items():
            self.client.log_metric(self.run_id, name, value, step=step)
        if images is not None:
            picture = grid(images).squeeze()
            self.client.log_image(self.run_id, picture, f"snapshots/{step:09d}.png")

    def close(self, state: str) -> None:
        self.client.set_terminated(self.run_id, status=STATES[state])
