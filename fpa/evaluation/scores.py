"""Scores: a model's samples measured against real images, and the record that says how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, PlainSerializer, PlainValidator

from fpa.core.errors import UserError, in_words
from fpa.core.files import read_record, write_json
from fpa.core.lazy import np
from fpa.evaluation.distances import BLOCK, Estimate, Gaussian, check_varied
from fpa.evaluation.extractors import PAIRS
from fpa.evaluation.metrics import (
    METRICS,
    Conditions,
    Measurement,
    Pair,
    Settings,
    label_of,
    why_not,
)
from fpa.evaluation.precision_recall import Manifold, subset
from fpa.evaluation.protocols import counted

if TYPE_CHECKING:
    from fpa.evaluation.features import Features


def _known(value: float | None) -> float:
    """A number, or the one NaN that stands for all that is unknown, so that scores compare equal."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _read_estimate(found: Any) -> Estimate:
    """An estimate as it is, or from JSON, where null is unknown."""
    if not isinstance(found, Estimate):
        found = (found["value"], found.get("error"))
    return Estimate(*map(_known, found))


def _estimate_as_json(estimate: Estimate) -> dict[str, float | None]:
    return {k: v if math.isfinite(v) else None for k, v in estimate._asdict().items()}


Recorded = Annotated[Estimate, PlainValidator(_read_estimate), PlainSerializer(_estimate_as_json)]
Status = Literal["ok", "nan", "missing", "failed", "unfinished"]


class Columns(BaseModel):
    """What tables of scores say of a score, in this order; a field is a column."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset: str
    resolution: int
    """Height of the images (px)"""
    model: str
    seed: int | None
    """Of the training; None for images that somebody brings"""
    status: Status
    """ok; nan, where features are not finite; else why a run of an experiment has no score"""
    protocol: str
    extractor: str
    metrics: dict[str, Recorded] = {}
    """By name; empty where there is no score"""
    n_real: int | None = None
    n_fake: int | None = None
    n_precision_recall: int | None = None
    """Images on either side of precision and recall, if they were measured"""
    checkpoint: str | None = None
    """`best` or `last`; `given` for images that somebody brings"""
    checkpoint_kimg: int | float | None = None
    """Thousands of real images that the generator had learnt from"""
    kimg: int | float | None = None
    """The same of the whole training"""
    run: str
    """Digest of the run, or of the images that somebody brings"""


class Score(Columns):
    """What was measured, by which protocol, of which images, with which versions: a score file."""

    generator_parameters: int | None = None
    resize: str | None = None
    format: str | None = None
    not_finite: int = 0
    """Samples that are not images: not every pixel is a number"""
    settings: dict[str, JsonValue] = {}
    """How it was measured"""
    weights_sha256: str | None = None
    """Of the feature network"""
    real_sha256: str | None = None
    fake_sha256: str | None = None
    trained_sha256: str | None = None
    """Of the training's weights"""
    reference_sha256: str | None = None
    """Of the reference statistics, where the real images are known by these alone"""
    stages: dict[str, int] = {}
    """The version of each stage that had a part in it"""
    versions: dict[str, str] = {}
    """Of this code and the libraries"""

    @classmethod
    def read(cls, path: str | Path) -> Score:
        """A score from its file; UserError when it is missing or no score file."""
        return read_record(cls, path, "is no score file; name a run's folder or its score-*.json")

    def write(self, path: str | Path) -> None:
        write_json(path, self.as_json())

    def as_json(self) -> dict[str, JsonValue]:
        """What its file holds: the fields that were given."""
        return self.model_dump(mode="json", exclude_unset=True)

    def rows(self) -> list[dict[str, object]]:
        """The score's rows in a tidy table: one for each metric, or one without, all by columns.

        `metrics` becomes the columns metric, error and value; numbers that are unknown are NaN.
        """
        return [
            {
                key: part
                for field in Columns.model_fields
                for key, part in (
                    {"metric": name, "error": estimate.error, "value": estimate.value}
                    if field == "metrics"
                    else {field: getattr(self, field)}
                ).items()
            }
            for name, estimate in (self.metrics or {"": Estimate(math.nan, math.nan)}).items()
        ]

    @classmethod
    def counts(cls) -> list[str]:
        """Fields that are whole numbers or unknown."""
        return [name for name, field in cls.model_fields.items() if field.annotation == int | None]

    def summary(self) -> str:
        """The score as one line, for the log."""
        values = ", ".join(
            f"{label_of(name, [self.extractor])} {_in_words(found)}"
            for name, found in self.metrics.items()
        )
        # Images that somebody brings are of no training that is known.
        training = "" if self.seed is None else f" seed {self.seed}"
        return (
            f"{self.dataset} {self.model}{training}, protocol {self.protocol} "
            f"({counted(self.as_json())}): {values or self._why_none()}{self._left_out()}"
        )

    def _why_none(self) -> str:
        """Why there is no value. Earlier versions gave none of what could not be computed either."""
        if self.not_finite:
            return f"NaN, because {self.not_finite} of its samples are not finite"
        why = f"{'distances' if self.resize == PAIRS else 'features'} are not finite"
        asked = self.settings.get("metrics")
        known = [m for name, m in METRICS.items() if isinstance(asked, list) and name in asked]
        if not known or not all(metric.needs for metric in known):
            return f"NaN, because {why}"
        needed = in_words([f"{metric.label} needs {metric.needs}" for metric in known])
        return f"no value, because {why} or because {needed}"

    def _left_out(self) -> str:
        """What was asked for and could not be computed, and what it needs."""
        asked = self.settings.get("metrics")
        missing = [
            label_of(name, [self.extractor]) + (f" (needs {metric.needs})" if metric.needs else "")
            for name, metric in METRICS.items()
            if isinstance(asked, list) and name in asked and name not in self.metrics
        ]
        return f"; without {', '.join(missing)}" if missing and self.metrics else ""


def _in_words(estimate: Estimate) -> str:
    number = "unknown" if math.isnan(estimate.value) else f"{estimate.value:.4g}"
    return number + ("" if math.isnan(estimate.error) else f" ± {estimate.error:.2g}")


def pair(real: Features, fake: Features) -> Pair:
    """Two sets that may be compared; UserError when they come from different feature spaces."""
    keys = ("extractor", "weights_sha256", "resize", "format")
    one, two = (
        {key: getattr(info, key) for key in keys}
        | {"the version of stage features": info.stages.get("features")}
        for info in (real.info, fake.info)
    )
    if one != two:
        key = next(key for key in one if one[key] != two[key])
        raise UserError(
            "real and generated features cannot be compared: "
            f"{key} is {one[key]} and {two[key]}; compute both in the same way"
        )
    return Pair(real, fake)


def check_count(asked: int | None, found: int) -> None:
    """UserError for fewer real images than are asked for; None: all."""
    if asked is not None and asked > found:
        raise UserError(
            f"n_real is {asked:,}, but there are only {found:,} real images; lower it, or leave it "
            "out for all"
        )


def choose(features: Features, count: int | None, seed: int) -> Features:
    """`count` of the features, drawn at random; all of them for None. UserError for too many."""
    check_count(count, len(features.values))
    if count is None or count == len(features.values):
        return features
    rows = subset(len(features.values), count, seed)
    logits = features.logits[rows] if features.logits is not None else None
    return features._replace(values=features.values[rows], logits=logits)


def measure(
    main: Pair,
    libraries: tuple[Pair, Pair] | None,
    settings: Settings,
    real_manifold: Manifold | None = None,
    real_moments: Gaussian | None = None,
) -> dict[str, Estimate]:
    """The requested metrics by name, each with its value and standard error (NaN: unknown).

    libraries: clean-fid's and torch-fidelity's features of the same images. With them, FID and KID
    are computed by both libraries, and the metrics that need torch-fidelity's features are not
    left out. real_manifold: for precision and recall, if it is known already. real_moments: of all
    real images, where `main` holds only a part of them. What these images do not allow is left out.
    Empty when features are not finite. UserError for an unknown metric, for real images that are all
    the same, when nothing is left to compute, and when the libraries disagree.
    """
    if not all(_is_finite(part.values) for part in main):
        return {}
    real, fake = main.real.values, main.fake.values
    if min(len(real), len(fake)) < 2:
        raise UserError(
            f"a distance needs 2 images on either side, found {len(real)} real and "
            f"{len(fake)} generated ones"
        )
    check_varied(real)
    measurement = Measurement(main, libraries, settings, real_manifold, real_moments)
    check_computable(settings.metrics, measurement.conditions)
    return {
        name: Estimate(*map(_known, estimate))
        for metric in METRICS.values()
        if metric.name in settings.metrics and not why_not(metric.name, measurement.conditions)
        for name, estimate in metric.compute(measurement).items()
    }


def check_computable(metrics: Sequence[str], conditions: Conditions) -> None:
    """UserError, with every reason, where none of the metrics can be computed."""
    reasons = {name: why_not(name, conditions) for name in metrics}
    if all(reasons.values()):
        said = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        raise UserError(f"nothing of what is asked for can be computed: {said}")


def _is_finite(values: np.ndarray) -> bool:
    """Whether all of (N, d) are, block by block."""
    return all(np.isfinite(values[i : i + BLOCK]).all() for i in range(0, len(values), BLOCK))
