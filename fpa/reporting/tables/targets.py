"""The table of targets: how many images and hours a model needs to reach a Fréchet distance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fpa.core.errors import in_words
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import sentence
from fpa.reporting.tables.tidy import Entry

COLUMNS = [
    *("experiment", "dataset", "resolution", "model", "seed", "target", "kimg", "budget_kimg"),
    *("base", "images_per_second", "hours", "budget_hours", "hardware"),
]


def target_of(histories: Sequence[tuple[str, pd.DataFrame]]) -> float:
    """The lowest distance that the mean training of every model reaches, of (model, history)."""
    curves: dict[str, list[pd.Series]] = {}
    for model, history in histories:
        curves.setdefault(model, []).append(history.set_index("kimg")["fid"].dropna())
    lowest = [pd.concat(curve, axis=1).mean(axis=1).min() for curve in curves.values()]
    return max((value for value in lowest if not math.isnan(value)), default=math.nan)


def targets_frame(
    entries: Sequence[Entry], experiment: str, target: float | None = None
) -> pd.DataFrame:
    """One row for each training: the images that it had seen at its first quick score not above the
    target (kimg, missing if there was none), and the hours of training that they take.

    entries: as `run_entries` gives them; those without quick scores are left out. The hours of a run
    include the whole training that it starts from. target: `target_of` by default, for each data
    set.
    """
    budgets = {(e["dataset"], e["model"]): e["kimg"] for e in entries}
    speeds = {
        (e["dataset"], e["model"]): e["cost"]["training_images_per_second"]
        for e in entries
        if e["cost"]
    }
    machines = {(e["dataset"], e["model"]): e["cost"]["hardware"] for e in entries if e["cost"]}
    hardware = {key: processor(of) for key, of in machines.items()}
    entries = [e for e in entries if e["history"] is not None and "fid" in e["history"]]
    chosen = {
        dataset: target_of([(e["model"], e["history"]) for e in entries if e["dataset"] == dataset])
        for dataset in dict.fromkeys(e["dataset"] for e in entries)
    }
    rows = []
    for entry in entries:
        dataset = entry["dataset"]
        goal = chosen[dataset] if target is None else target
        scored = entry["history"].dropna(subset="fid")
        reached = scored.loc[scored["fid"] <= goal, "kimg"]
        kimg = float(reached.iloc[0]) if len(reached) else math.nan
        speed = speeds.get((dataset, entry["model"]), math.nan)
        before = 0.0
        if entry["base"]:
            painter = dataset, entry["base"]
            before = _hours(budgets.get(painter, math.nan), speeds.get(painter, math.nan))
        rows.append(
            {
                "experiment": experiment,
                **{k: entry[k] for k in ("dataset", "resolution", "model", "seed", "base")},
                "budget_kimg": entry["kimg"],
                "target": goal,
                "kimg": kimg,
                "images_per_second": speed,
                "hours": before + _hours(kimg, speed),
                "budget_hours": before + _hours(entry["kimg"], speed),
                "hardware": hardware.get((dataset, entry["model"]), ""),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _hours(kimg: float, images_per_second: float) -> float:
    return 1000 * kimg / images_per_second / 3600


def targets_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The same as text, one row for each model and data set: means over the trainings that got there."""
    rows, names = [], []
    for (dataset, model), group in frame.groupby(["dataset", "model"], sort=False):
        names.append(labels.get(str(model), str(model)))
        row: dict[str, Any] = {"data set": dataset} if frame["dataset"].nunique() > 1 else {}
        row["target"] = f"{group['target'].iloc[0]:.1f}"
        reached = group.dropna(subset="kimg")
        if len(reached):
            row["thousand images"] = _range(reached["kimg"], ".0f")
            row["hours"] = _range(reached["hours"], ".3g")
        else:
            row["thousand images"] = f"more than {group['budget_kimg'].max():g}"
            row["hours"] = "—"
        speed = group["images_per_second"].iloc[0]
        row["images/s"] = "—" if math.isnan(speed) else f"{speed:.3g}"
        rows.append({**row, "reached": f"{len(reached)} of {len(group)}"})
    return pd.DataFrame(rows, pd.Index(names, name="Model"))


def _range(values: pd.Series, form: str) -> str:
    """The mean, and the ends where they differ."""
    if values.isna().all():
        return "—"
    mean, low, high = (format(v, form) for v in (values.mean(), values.min(), values.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def targets_caption(
    frame: pd.DataFrame, given: bool, labels: Mapping[str, str], experiment: str
) -> str:
    """What was to be reached, and what counts."""
    what = "given" if given else "the lowest that the mean training of every model reaches"
    refiners = frame.loc[frame["base"].notna(), "model"].drop_duplicates()
    parts = [
        "Images and hours of training to a Fréchet distance, by the quick scores of the EMA generator: "
        f"the target is {what}",
        "mean (lowest to highest) over the trainings that reached it, at the first quick score not "
        "above it",
        "hours at the measured speed of training steps alone"
        + (f", on {in_words(hardware)}" if (hardware := _hardware(frame)) else ""),
    ]
    if len(refiners):
        names = in_words([labels.get(name, name) for name in refiners])
        parts.append(
            f"those of {names} include the whole training of its painter, the images do not"
        )
    return sentence(parts, experiment)


def _hardware(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame["hardware"].unique() if name]


def build(request: Request) -> Built:
    """The table of targets."""
    frame = targets_frame(request.entries, request.experiment, request.target)
    given = request.target is not None
    caption = targets_caption(frame, given, request.labels, request.experiment)
    return frame, targets_layout(frame, request.labels), caption
