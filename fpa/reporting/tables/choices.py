"""The table of choices: which checkpoint each quick score would have chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fpa.core.lazy import pd
from fpa.reporting.measures import measure
from fpa.reporting.tables.agreement import QUICK, quick_scores
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import sentence
from fpa.reporting.tables.tidy import Entry


def choices_frame(runs: Sequence[Entry], experiment: str) -> pd.DataFrame:
    """The checkpoint that each quick score would have chosen: one row for each run and score.

    fid, precision, recall: there. `same` is whether the Fréchet distance, which does choose, would
    have chosen it too.
    """
    rows = []
    for run in runs:
        quick = quick_scores(run)
        if quick.empty:
            continue
        # Of equal ones the first, as a training keeps it.
        best = {name: int(quick[name].argmax()) for name in QUICK if name != "fid"}
        best["fid"] = int(quick["fid"].argmin())
        for name in QUICK:
            rows.append(
                {
                    **{key: run[key] for key in ("dataset", "resolution", "model", "seed")},
                    "score": name,
                    **{key: quick[key].iloc[best[name]] for key in ("kimg", *QUICK)},
                    "same": best[name] == best["fid"],
                    "n_checkpoints": len(quick),
                    "run": run["digest"],
                }
            )
    columns = [
        *("dataset", "resolution", "model", "seed", "score", "kimg", *QUICK),
        *("same", "n_checkpoints", "run"),
    ]
    return pd.DataFrame(rows, columns=columns).assign(experiment=experiment)


def choices_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models and scores down: what a score would have chosen, means over trainings, as text."""
    if frame.empty:
        return pd.DataFrame({"chosen by": ["no quick scores"]}, pd.Index(["every model"]))
    columns: dict[str, list[str]] = {}
    names = []
    for (dataset, model), group in frame.groupby(["dataset", "model"], sort=False):
        for name in QUICK:
            rows = group[group["score"] == name]
            label = labels.get(str(model), str(model))
            several = frame["dataset"].nunique() > 1
            names.append(f"{label}, {dataset}" if several else label)
            cells = {
                "chosen by": measure(name, [""]),
                "kimg": f"{rows['kimg'].mean():.4g}",
                "same as by Fréchet distance": f"{int(rows['same'].sum())} of {len(rows)}",
                "Fréchet distance": f"{rows['fid'].mean():.2f}",
                "precision": f"{rows['precision'].mean():.3f}",
                "recall": f"{rows['recall'].mean():.3f}",
            }
            for column, text in cells.items():
                columns.setdefault(column, []).append(text)
    return pd.DataFrame(columns, pd.Index(names, name="Model"))


def choices_caption(frame: pd.DataFrame, experiment: str) -> str:
    """What the rows are."""
    if frame.empty:
        return sentence(
            ["Which checkpoint each quick score would have chosen: no run has a history with all"],
            experiment,
        )
    counts = sorted({*frame["n_checkpoints"]})
    words = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    parts = [
        f"Which checkpoint each quick score would have chosen among the {words} of a training, and "
        "its quick scores, means over trainings",
        "the best checkpoint is the one that the Fréchet distance chooses",
    ]
    return sentence(parts, experiment)


def build(request: Request) -> Built:
    """The table of choices."""
    frame = choices_frame(request.entries, request.experiment)
    shown = choices_layout(frame, request.labels)
    return frame, shown, choices_caption(frame, request.experiment)
