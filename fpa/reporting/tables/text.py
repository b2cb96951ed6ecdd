"""What the tables' cells and captions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpa.core.errors import in_words
from fpa.core.lazy import pd
from fpa.evaluation.metrics import METRICS

STATUS_WORDS = {"nan": "NaN"}
"""How a status other than `ok` is written, where not by its name."""


def cell(value: float, spread: float, metric: str) -> str:
    """A value of a metric and its spread, scaled and rounded as the metric says."""
    if pd.isna(value):
        return "NaN"
    scale, digits = METRICS[metric].scale, METRICS[metric].digits
    text = f"{scale * value:.{digits}f}"
    return text if pd.isna(spread) else f"{text} ± {scale * spread:.{digits}f}"


def row_names(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.Series:
    """A row's name: the model's label, and the protocol where there are several."""
    names = frame["model"].map(lambda model: labels.get(model, model))
    return names + ", " + frame["protocol"] if frame["protocol"].nunique() > 1 else names


def sample_counts(frame: pd.DataFrame) -> str:
    """How many images, by protocol, from which checkpoint."""
    protocols = []
    for name, group in frame.groupby("protocol", sort=False):
        fakes, reals = (
            " or ".join(f"{n:,}" for n in group[column].dropna().unique()) or "all"
            for column in ("n_fake", "n_real")
        )
        scored = group[group["status"] == "ok"]
        if len(scored) and scored["n_real"].isna().all():
            protocols.append(f"protocol {name}: {fakes} paths between latents")
        else:
            protocols.append(f"protocol {name}: {fakes} samples against {reals} real images")
    return f"{', '.join(protocols)}; {' and '.join(frame['checkpoint'].unique())} checkpoint"


def spread(trainings: Iterable[int], sampling: bool) -> str:
    """What a table's ± is. trainings: of each of its cells; sampling: whether there are errors of it."""
    counts = {count for count in trainings if count}
    if counts and max(counts) > 1:
        words = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else str(max(counts))
        return f"mean ± standard deviation over {words} trainings (seeds) of each model"
    if not sampling:
        return "one training of each model: another training of the same model gives another value"
    return (
        "one training of each model, ± the standard error of sampling from it: another training of "
        "the same model can differ by several times as much"
    )


def absent(entries: Sequence[Mapping[str, Any]], names: Iterable[str]) -> str:
    """Which of the metrics a score was asked for and no score holds, and why; empty if none."""
    scored = [entry for entry in entries if entry["status"] == "ok"]
    asked = {name for entry in scored for name in entry.get("settings", {}).get("metrics", ())}
    found = {name for entry in scored for name in entry["metrics"]}
    return "; ".join(
        f"no {METRICS[name].label}"
        + (f", which needs {METRICS[name].needs}" if METRICS[name].needs else "")
        for name in names
        if name in asked - found
    )


def sentence(parts: Sequence[str], experiment: str) -> str:
    """The parts of a caption that are not empty, and the experiment if it is known."""
    known = [part for part in parts if part]
    return "; ".join([*known, *([f"experiment {experiment}"] if experiment else [])]) + "."


def mixed_stages(entries: Sequence[Mapping[str, Any]]) -> str:
    """A warning when entries were made by different versions of a stage; empty when by the same.

    Entries say their versions under `stages`; one that does not was made by nobody knows which.
    """
    versions: dict[str, set[int]] = {}
    for entry in entries:
        for stage, version in (entry.get("stages") or {}).items():
            versions.setdefault(stage, set()).add(version)
    mixed = [
        f"versions {in_words([str(version) for version in sorted(found)])} of stage {stage}"
        for stage, found in versions.items()
        if len(found) > 1
    ]
    if not mixed:
        return ""
    return f"MIXED: made by {in_words(mixed)}; run snakemake again to make them alike."
