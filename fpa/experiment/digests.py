"""Digests of runs and scores: what names their files, and what does not.

A digest covers what the thing depends on: settings that differ from their defaults, and the
versions of the code that makes it. So a new setting whose default keeps the behaviour changes no
digest, and changed behaviour, with its version raised, makes another run.
"""

from collections.abc import Mapping
from typing import Any

from fpa.core.files import digest
from fpa.core.provenance import STAGES
from fpa.data.sources import DatasetSpec, content
from fpa.evaluation.protocols import Protocol
from fpa.experiment.config import EvaluationSettings, TrainingSettings
from fpa.models.loading import changed_settings, find_model, part_versions
from fpa.runs.run import Budget, RunModel

SCORE_STAGES = ("sample", "features", "score")


def run_digest(
    dataset: DatasetSpec,
    model: RunModel,
    training: Budget,
    seed: int,
    base: str | None,
) -> str:
    """SHA-256 of what a run's weights depend on; `base`: the digest of the run it starts from."""
    declared = find_model(model.class_, "model")
    versions = {"class": declared.version, **part_versions(declared, model.settings)}
    return digest(
        {
            "stages": {stage: STAGES[stage] for stage in ("prepare", "train")},
            "dataset": content(dataset),
            "model": {
                "class": model.class_,
                "settings": changed_settings(declared, model.settings),
                "versions": {name: version for name, version in versions.items() if version != 1},
            },
            "training": _changed(training.as_json(), TrainingSettings().model_dump(), ()),
            "seed": seed,
            "base": base,
        }
    )


def score_digest(protocol: Protocol, evaluation: EvaluationSettings) -> str:
    """SHA-256 of what a score depends on besides its run and data set."""
    return digest(
        {
            "stages": {stage: STAGES[stage] for stage in SCORE_STAGES},
            "protocol": {
                key: value for key, value in protocol.as_dict().items() if value is not None
            },
            "evaluation": _changed(
                evaluation.model_dump(mode="json"),
                EvaluationSettings().model_dump(mode="json"),
                ("protocols",),
            ),
        }
    )


def _changed(
    values: Mapping[str, Any], standard: Mapping[str, Any], leave_out: tuple[str, ...]
) -> dict[str, Any]:
    """Values that differ from their defaults; 1.0 and 1 are the same number."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in values.items()
        if key not in leave_out and value != standard.get(key)
    }
