"""What a results folder says about its experiment: `experiment.json`, and what follows from it.

`fpa.experiment.plan.Plan` writes it. Tables, figures and the report are made from it
and from the artifacts beside it alone: the folder can be moved to another machine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import read_json
from fpa.evaluation.extractors import PAIRS
from fpa.experiment.experiment import Claim, check_claims

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


def claimed(about: Description) -> list[Claim]:
    """The claims that the experiment judges."""
    return check_claims(about.get("claims", []), artifacts.EXPERIMENT)


def watched(about: Description) -> list[str]:
    """Names of the models that are scored while they train."""
    models = about["config"]["models"]
    return [name for name, model in models.items() if model["training"]["watch_kimg"]]


def target_distance(about: Description | None) -> float | None:
    """The distance that the table of targets asks for, if the configuration names one."""
    return about["config"]["figures"].get("target") if about else None


def score_file(protocol: Mapping[str, Any]) -> str:
    """A run's score by a protocol of the description, in the run's folder."""
    return f"{protocol['score']}.json"


def samples_file(about: Description) -> str:
    """A run's generated images for the figures, in its folder.

    Descriptions made before they were files of their own mean those that are scored.
    """
    evaluation = about["config"]["evaluation"]
    scored = max(protocol["n_fake"] for protocol in about["protocols"])
    count = about.get("shown_samples", scored)
    return artifacts.samples(evaluation["checkpoint"], count, evaluation["seed"])


def by_features(about: Description) -> list[Mapping[str, Any]]:
    """The protocols in whose features images are compared."""
    return [part for part in about["protocols"] if part["resize"] != PAIRS]


def first_protocol(about: Description) -> Mapping[str, Any]:
    """The first of them."""
    return by_features(about)[0]


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
        feature_space(first_protocol(about)),
    )
