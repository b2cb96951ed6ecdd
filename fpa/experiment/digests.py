"""Digests of runs and scores: what names their files, and what does not.

A digest covers what the thing depends on: settings that differ from their defaults, and the
versions of the code that makes it. So a new setting whose default keeps the behaviour changes no
digest, and changed behaviour, with its version raised, makes another run.
"""

from collections.abc import Mapping
from typing import Any

from fpa.core.files import digest
from fpa.core.stages import STAGES
from fpa.data.sources import DatasetSpec, content
from fpa.experiment.config import defaults
from fpa.models.loading import changed_settings, find_model, part_versions

WITHOUT_EFFECT = ("checkpoint_kimg",)
"""Keys of `training` that cannot change weights."""
SCORE_STAGES = ("sample", "features", "score")


def run_digest(
    dataset: DatasetSpec,
    model: Mapping[str, Any],
    training: Mapping[str, Any],
    seed: int,
    base: str | None,
) -> str:
    """SHA-256 of what a run's weights depend on; `base`: the digest of the run it starts from."""
    declared = find_model(model["class"], "model")
    versions = {"class": declared.version, **part_versions(declared, model["settings"])}
    return digest(
        {
            "stages": {stage: STAGES[stage] for stage in ("prepare", "train")},
            "dataset": content(dataset),
            "model": {
                "class": model["class"],
                "settings": changed_settings(declared, model["settings"]),
                "versions": {name: version for name, version in versions.items() if version != 1},
            },
            "training": _changed(training, defaults("training"), WITHOUT_EFFECT),
            "seed": seed,
            "base": base,
        }
    )


def score_digest(protocol: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """SHA-256 of what a score depends on besides its run and data set."""
    return digest(
        {
            "stages": {stage: STAGES[stage] for stage in SCORE_STAGES},
            "protocol": {key: value for key, value in protocol.items() if value is not None},
            "evaluation": _changed(evaluation, defaults("evaluation"), ("protocols",)),
        }
    )


def _changed(
    values: Mapping[str, Any], standard: Mapping[str, Any], leave_out: tuple[str, ...]
) -> dict[str, Any]:
    """Values that differ from the schema's defaults; 1.0 and 1 are the same number."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in values.items()
        if key not in leave_out and value != standard.get(key)
    }
