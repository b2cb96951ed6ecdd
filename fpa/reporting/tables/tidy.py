"""Every score of an experiment, one row each, and what stands in for a missing one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpa.core.lazy import pd

Entry = Mapping[str, Any]
"""What a score or cost file holds."""

RUN = ["dataset", "resolution", "model", "seed", "status", "protocol", "extractor"]
COUNTS = ("n_real", "n_fake", "n_precision_recall", "generator_parameters")
ORIGIN = ["n_real", "n_fake", "n_precision_recall", "checkpoint", "checkpoint_kimg", "kimg", "run"]


def missing_score(
    run: Mapping[str, Any], protocol: Mapping[str, Any], checkpoint: str, status: str
) -> dict[str, Any]:
    """What stands in for the score of a run (of the experiment's description) that has none.

    status: `missing`, or `failed` where its training ended in an error.
    """
    return {
        **{key: run[key] for key in ("dataset", "resolution", "model", "seed")},
        **{key: protocol[key] for key in ("extractor", "resize", "format", "n_fake", "n_real")},
        "protocol": protocol["name"],
        "checkpoint": checkpoint,
        "status": status,
        "metrics": {},
        "run": run["digest"],
        "kimg": None,
        "checkpoint_kimg": None,
        "generator_parameters": None,
    }


def tidy_scores(scores: Sequence[Entry], experiment: str) -> pd.DataFrame:
    """One row for each run, protocol and metric, with the standard error where it is known.

    A run whose samples gave no finite features has one row without a metric, status `nan`; so has
    one without a score, status `missing` or `failed`. Nothing is multiplied.
    """
    rows = []
    for score in scores:
        for metric, estimate in (score["metrics"] or {"": {"value": None, "error": None}}).items():
            rows.append(
                {
                    "experiment": experiment,
                    **{key: score[key] for key in RUN},
                    "metric": metric,
                    **estimate,
                    **{key: score.get(key) for key in ORIGIN},
                }
            )
    return whole_counts(pd.DataFrame(rows).astype({"value": float, "error": float}))


def whole_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts stay whole numbers where one of them is unknown."""
    counts = [name for name in COUNTS if name in frame]
    return frame.astype(dict.fromkeys(counts, "Int64"))
