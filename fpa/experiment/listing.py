"""An experiment's runs and a model's settings, for the terminal."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fpa.common import artifacts
from fpa.common.files import write_json
from fpa.experiment.plan import Experiment
from fpa.models.loading import find_model


def write_runs(experiment: Experiment) -> None:
    """Write the experiment's description and each run's resolved configuration."""
    experiment.claim()
    for run in experiment.all_runs():
        path = experiment.results / run.folder / artifacts.RUN
        if not path.exists():
            write_json(path, run.config)


def list_runs(experiment: Experiment) -> Iterator[str]:
    """One line a run: its folder, its budget, and whether it is trained."""
    for run in experiment.runs:
        folder = experiment.results / run.folder
        state = "trained" if (folder / artifacts.WEIGHTS).exists() else "to train"
        yield f"{folder}  {run.training['kimg']:g} kimg, {run.steps} steps, {state}"


def list_settings(name: str) -> Iterator[str]:
    """The settings of the model `package.module:Class`, with defaults and descriptions."""
    schema = find_model(name, "class").settings.model_json_schema()
    yield name
    yield from _settings(schema, schema.get("$defs", {}), "  ")


def _settings(part: Mapping[str, Any], shared: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, below in part.get("properties", {}).items():
        reference = below.get("$ref") or next((p["$ref"] for p in below.get("allOf", [])), None)
        if reference:
            yield f"{indent}{key}:"
            yield from _settings(shared[reference.rpartition("/")[2]], shared, indent + "  ")
        else:
            text = below.get("description", "")
            default = json.dumps(below.get("default"))
            yield f"{indent}{key}: {default}{'  # ' + text if text else ''}"
