"""What a results folder says about its experiment: `experiment.json`, and what follows from it.

`fpa.experiment.plan.Experiment.describe` writes it. Tables, figures and the report are made from it
and from the artifacts beside it alone: the folder can be moved to another machine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.common import artifacts
from fpa.common.errors import UserError
from fpa.common.files import read_json

Description = Mapping[str, Any]


def read_description(results: str | Path) -> dict[str, Any]:
    """The description in a results folder; UserError when there is none that can be used."""
    path = Path(results) / artifacts.EXPERIMENT
    about = read_json(path, made_by="python -m fpa plan --write")
    if not isinstance(about, dict) or "format" not in about:
        raise UserError(
            f"{path} was written by an older version, whose results this one does not read; use "
            "that version, or run the experiment again in another results folder"
        )
    return about


def labels(about: Description) -> dict[str, str]:
    """Every model of the experiment, in its order: name -> name as shown."""
    return {model["name"]: model["label"] for model in about["models"]}


def score_file(protocol: Mapping[str, Any]) -> str:
    """A run's score by a protocol of the description, in the run's folder."""
    return f"{protocol['score']}.json"


def samples_file(about: Description) -> str:
    """A run's generated images, in its folder: as many as the largest protocol needs."""
    evaluation = about["config"]["evaluation"]
    count = max(protocol["n_fake"] for protocol in about["protocols"])
    return artifacts.samples(evaluation["checkpoint"], count, evaluation["seed"])


def feature_space(protocol: Mapping[str, Any]) -> str:
    """The name of a protocol's feature space, as file names have it."""
    return ".".join(protocol[part] for part in ("extractor", "resize", "format"))


def neighbours_file(about: Description) -> str:
    """A run's samples with their nearest training images, in its folder."""
    evaluation = about["config"]["evaluation"]
    return artifacts.neighbours(
        evaluation["checkpoint"],
        about["config"]["figures"]["neighbours"],
        evaluation["seed"],
        feature_space(about["protocols"][0]),
    )
