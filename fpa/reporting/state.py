"""What became of an experiment's runs, and what goes into its tables."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fpa.common import artifacts
from fpa.common.files import read_json
from fpa.reporting.description import Description, score_file


def status_of(run: Mapping[str, Any], results: Path) -> tuple[str, str]:
    """Whether a run is `ok`, `failed`, `unfinished` or `missing`, and the reason."""
    folder = results / run["folder"]
    if (folder / artifacts.SUMMARY).exists():
        return "ok", ""
    log = results / artifacts.train_log(run["dataset"], run["model"], folder.name)
    last = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
    _, failed, reason = (last or [""])[0].partition("error: ")
    if failed:
        return "failed", reason
    checkpoints = sorted((folder / artifacts.STATE).glob("step-*.pt"))
    if checkpoints:
        return "unfinished", f"saved at step {int(checkpoints[-1].stem.partition('-')[2]):,}"
    return "missing", "not begun"


def table_entries(about: Description, kind: str, results: Path) -> list[dict[str, Any]]:
    """What goes into a table of this kind: each run's file, or what stands in for a missing one.

    Empty where there is no file at all.
    """
    # Only here: the state of a run needs no pandas.
    from fpa.reporting.tables.tidy import missing_score

    if kind == "models":
        first = [run for run in about["runs"] if run["seed"] == about["config"]["seeds"][0]]
        return [cost for _, cost in _costs(first, results)]
    if kind == "targets":
        return _histories(about, results)
    found, any_score = [], False
    for protocol in about["protocols"]:
        for run in about["runs"]:
            path = results / run["folder"] / score_file(protocol)
            if path.exists():
                found.append(read_json(path))
                any_score = True
            else:
                status, _ = status_of(run, results)
                status = "missing" if status == "ok" else status
                checkpoint = about["config"]["evaluation"]["checkpoint"]
                found.append(missing_score(run, protocol, checkpoint, status))
    return found if any_score else []


def _histories(about: Description, results: Path) -> list[dict[str, Any]]:
    """Of each run with quick scores, its history, its model's cost, and what it starts from."""
    from fpa.reporting.figures.loading import read_table

    runs, found = about["runs"], []
    costs = {(run["dataset"], run["model"]): cost for run, cost in _costs(runs, results)}
    bases = {name: model["base"] for name, model in about["config"]["models"].items()}
    for run in runs:
        path = results / run["folder"] / artifacts.HISTORY
        history = read_table(path) if path.exists() else None
        if history is None or "fid" not in history:
            continue
        base = bases[run["model"]]
        budgets = {r["kimg"] for r in runs if (r["dataset"], r["model"]) == (run["dataset"], base)}
        found.append(
            {
                **{key: run[key] for key in ("dataset", "resolution", "model", "seed")},
                "budget_kimg": run["kimg"],
                "history": history,
                "cost": costs.get((run["dataset"], run["model"])),
                "base": base,
                "base_kimg": next(iter(budgets), None),
            }
        )
    return found


def _costs(
    runs: Sequence[Mapping[str, Any]], results: Path
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    for run in runs:
        path = results / run["folder"] / artifacts.COST
        if path.exists():
            yield run, read_json(path)
