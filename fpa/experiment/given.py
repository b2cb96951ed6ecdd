"""Finished runs that a configuration names in the place of a training (`models.*.run`)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import digest, read_json
from fpa.data.sources import DatasetSpec
from fpa.runs.run import Run

OWN = ("class", "base", "settings", "training")
"""Keys of a model that a finished run brings itself."""


def find(model: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What the finished run of a model says of itself; UserError when there is none.

    given: the model as it stands in the configuration, without defaults.
    """
    also = [key for key in OWN if given.get(key)]
    if also:
        raise UserError(f"{where}.{also[0]}: a finished run has its own; leave it out beside run")
    path = Path(model["run"]) / artifacts.SUMMARY
    made_by = "python -m fpa import-official` or `python -m fpa train"
    try:
        return read_json(path, made_by=made_by)
    except UserError as error:
        raise UserError(f"{where}.run: {error}") from error


def resolve(
    summary: Mapping[str, Any], name: str, dataset: DatasetSpec, seed: int, where: str
) -> Run:
    """The finished run as one of this experiment, on a data set of images like its own."""
    about = Run.from_json(summary["run"], where)
    for key in ("resolution", "channels"):
        if (found := getattr(about.dataset, key)) != getattr(dataset, key):
            raise UserError(
                f"{where}: its images have {key} {found}, those of {dataset.name} "
                f"{getattr(dataset, key)}; score it on a data set that fits"
            )
    model = replace(about.model, name=name, finished=summary["digest"])
    made = digest({"finished": summary["digest"]})
    return Run(dataset, model, about.training, seed, made, about.base)
