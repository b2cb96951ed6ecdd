"""What lies in a results folder: the state of an experiment's runs, and what each of them left."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fpa.core import artifacts
from fpa.core.errors import UserError, one_line
from fpa.core.files import load_array, load_arrays, read_json
from fpa.core.lazy import pd
from fpa.core.progress import CONTROLS
from fpa.evaluation.scores import Score, Status
from fpa.experiment.experiment import Claim, Experiment, ProtocolEntry, RunEntry
from fpa.runs.folder import Cost, RunFolder, TrainingSummary

LARGEST_TAIL = 16_384
"""Bytes of a log that are read, from its end."""

# The state of runs -------------------------------------------------------------------------------


def status_of(run: RunEntry, results: Path) -> tuple[Status, str]:
    """Whether a run is `ok`, `failed`, `unfinished` or `missing`, and the reason."""
    folder = results / run.folder
    files = RunFolder(folder)
    if files.is_finished:
        return "ok", ""
    log = results / artifacts.train_log(run.dataset, run.model, folder.name)
    last = last_lines(log, 1)
    _, failed, reason = (last or ("",))[0].partition("error: ")
    if failed:
        return "failed", reason
    step = files.newest_step()
    if step is not None:
        return "unfinished", f"saved at step {step:,}"
    return "missing", "not begun"


def last_lines(path: Path, count: int) -> tuple[str, ...]:
    """The last lines of a log, without what would move a terminal's cursor; none if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LARGEST_TAIL))
            text = file.read(LARGEST_TAIL).decode(errors="replace")
    except OSError:
        return ()
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return tuple(CONTROLS.sub(lambda found: ascii(found[0])[1:-1], line) for line in lines[-count:])


T = TypeVar("T", int, str)


def by_name(found: Iterable[Mapping[str, T]]) -> dict[str, list[T]]:
    """Every version that each library or stage has in any of them, sorted."""
    versions: dict[str, set[T]] = {}
    for one in found:
        for name, version in one.items():
            versions.setdefault(name, set()).add(version)
    return {name: sorted(several) for name, several in versions.items()}


# Files -------------------------------------------------------------------------------------------


def read_table(path: Path) -> pd.DataFrame:
    """A CSV table of the results: only empty cells are missing; the status 'nan' is a word."""
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({one_line(error)}); delete it and run again"
        ) from error


def load_file(path: Path) -> Any:
    """A file's array (or arrays by name, or table, or JSON); None where it is missing."""
    if not path.exists():
        return None
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix == ".csv":
        return read_table(path)
    if path.suffix == ".npy":
        return load_array(path)
    try:
        with load_arrays(path) as found:
            return dict(found)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from error


# What tables are made from -----------------------------------------------------------------------


PLACE = ("dataset", "resolution", "model", "seed")


@dataclass(frozen=True)
class RunResults:
    """What one run left; what is not there is None."""

    run: RunEntry
    base: str | None = None
    """The model whose training it starts from."""
    summary: TrainingSummary | None = None
    history: pd.DataFrame | None = None
    neighbours: Mapping[str, np.ndarray] | None = None
    cost: Cost | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    """By protocol."""

    @property
    def place(self) -> dict[str, object]:
        """What tells the run from others, as the first columns of a table."""
        return {key: getattr(self.run, key) for key in PLACE}


@dataclass(frozen=True)
class Results:
    """What tables are made from, and what they need to know of the experiment."""

    experiment: str = ""
    """Its name, if it is known."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Names of models in the text; a model without one goes by its own."""
    claims: Sequence[Claim] = ()
    """What is to be judged."""
    target: float | None = None
    """The distance to be reached, where it is given."""
    published: pd.DataFrame | None = None
    """Published scores."""
    scores: Sequence[Score] = ()
    """Of every protocol and run in the order of the tables' rows; a missing one has its status."""
    costs: Sequence[Cost] = ()
    runs: Sequence[RunResults] = ()

    @classmethod
    def of(cls, experiment: Experiment | None, published: pd.DataFrame | None = None) -> Results:
        """Nothing yet of an experiment; of none that is known, models go by their names."""
        if experiment is None:
            return cls(published=published)
        return cls(
            experiment.name,
            experiment.labels,
            experiment.claims,
            experiment.config.figures.target,
            published,
        )

    def label(self, model: object) -> str:
        """What a model is called."""
        return self.labels.get(str(model), str(model))


def score_files(experiment: Experiment) -> list[str]:
    """Every score, below the results folder, in the order of the tables' rows."""
    return [
        f"{run.folder}/{protocol.score_file}"
        for protocol in experiment.protocols
        for run in experiment.runs
    ]


def cost_files(experiment: Experiment) -> list[str]:
    """The costs of every model on every data set, below the results folder."""
    first = experiment.runs_of(seed=experiment.first_seed)
    return [f"{run.folder}/{artifacts.COST}" for run in first]


def files_of_runs(experiment: Experiment) -> list[str]:
    """All that tables of runs are made from, below the results folder.

    Samples are compared with training images, and speeds measured, for the first seed alone.
    """
    found = []
    for run in experiment.runs:
        names = [artifacts.SUMMARY, artifacts.HISTORY]
        names += [protocol.score_file for protocol in experiment.protocols]
        if run.seed == experiment.first_seed:
            names += [experiment.neighbours_file, artifacts.COST]
        found += [f"{run.folder}/{name}" for name in names]
    return found


def missing_score(run: RunEntry, protocol: ProtocolEntry, checkpoint: str, status: Status) -> Score:
    """What stands in for the score of a run that has none; status: why."""
    return Score(
        **{key: getattr(run, key) for key in PLACE},
        **{key: getattr(protocol, key) for key in ("extractor", "resize", "format")},
        n_fake=protocol.n_fake,
        n_real=protocol.n_real,
        protocol=protocol.name,
        checkpoint=checkpoint,
        status=status,
        run=run.digest,
    )


def read_runs(experiment: Experiment, results: Path) -> list[RunResults]:
    """What each run left."""
    found = []
    for run in experiment.runs:
        folder = RunFolder(results / run.folder)
        first = run.seed == experiment.first_seed
        left = RunResults(
            run,
            base=experiment.config.models[run.model].base,
            summary=folder.read_summary() if folder.is_finished else None,
            history=load_file(folder.history),
            neighbours=load_file(folder.path / experiment.neighbours_file) if first else None,
            cost=folder.read_cost() if first else None,
            scores={
                protocol.name: Score.read(path)
                for protocol in experiment.protocols
                if (path := folder.path / protocol.score_file).exists()
            },
        )
        _check_own(left, folder)
        found.append(left)
    return found


def _check_own(left: RunResults, folder: RunFolder) -> None:
    """UserError for files in a run's folder that another run has left."""
    run = left.run
    digests = {str(folder.summary): left.summary.digest} if left.summary else {}
    digests |= {f"{folder} (protocol {name})": score.run for name, score in left.scores.items()}
    for path, digest in digests.items():
        if digest != run.digest:
            raise UserError(
                f"{path} is of another run ({digest[:10]}) than lies there ({run.digest[:10]}); move it "
                "away, and run the experiment again"
            )
    cost = left.cost
    if cost and (cost.dataset, cost.model) != (run.dataset, run.model):
        raise UserError(
            f"{folder.cost} is of {cost.model} on {cost.dataset}, not of {run.model} on {run.dataset}; "
            "delete it and run again"
        )
    if left.history is not None and not {"step", "kimg"} <= {*left.history}:
        raise UserError(
            f"{folder.history} is no history of a training; delete {folder} and run again"
        )


def read_results(
    experiment: Experiment, results: Path, published: pd.DataFrame | None = None
) -> Results:
    """All that tables of an experiment are made from, with what stands in for missing scores."""
    runs = read_runs(experiment, results)
    scores = []
    for protocol in experiment.protocols:
        for found in runs:
            score = found.scores.get(protocol.name)
            if score is None:
                status, _ = status_of(found.run, results)
                status = "missing" if status == "ok" else status
                checkpoint = experiment.config.evaluation.checkpoint
                score = missing_score(found.run, protocol, checkpoint, status)
            scores.append(score)
    return replace(
        Results.of(experiment, published),
        scores=scores,
        costs=[found.cost for found in runs if found.cost],
        runs=runs,
    )
