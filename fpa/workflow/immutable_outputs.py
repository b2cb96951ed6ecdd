"""Finished work that no job may make again: weights, histories and scores, once they are there.

Snakemake removes the outputs of a job before the job starts, and starts a job whenever something
that it was made from is made again. So what is kept here is the output of no job: the rules' wildcards
do not match it (fpa.workflow.workflow). Whoever wants a run trained again deletes its folder.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import read_json
from fpa.runs.folder import RunFolder, TrainingSummary
from fpa.runs.run import Run

OF_TRAINING = (artifacts.RUN, artifacts.WEIGHTS, artifacts.HISTORY, artifacts.SUMMARY)


def kept_files(results: Path, runs: Iterable[Run], scores: Iterable[str]) -> list[str]:
    """What is finished of these runs, as paths below the results folder.

    scores: the names of score files.
    """
    scores = list(scores)
    return [f"{run.folder}/{name}" for run in runs for name in _kept(results, run, scores)]


def _kept(results: Path, run: Run, scores: Iterable[str]) -> Iterator[str]:
    files = RunFolder(results / run.folder)
    folder = files.path
    summary = files.summary_of(run) or files.backup.summary_of(run)
    if summary is None:
        return
    if not (files.weights.exists() or files.backup.weights.exists()):
        # Unpacked from a bundle: it stays as it came, and its weights are not to be had by a job.
        yield artifacts.WEIGHTS
        yield from (path.name for path in sorted(folder.iterdir()) if path.is_file())
        return
    yield from (name for name in OF_TRAINING if (folder / name).exists())
    if files.cost.exists():
        yield artifacts.COST
    yield from (name for name in scores if is_of(folder / name, summary))


def is_of(path: Path, summary: TrainingSummary) -> bool:
    """Whether a score file is there, whole, and of the weights that the summary describes.

    Files of version 0.2 and before do not name the weights; they are taken as they are.
    """
    try:
        score = read_json(path)
    except UserError:
        return False
    if not isinstance(score, dict) or score.get("run") != summary.digest:
        return False
    known = summary.weights_sha256, score.get("trained_sha256")
    return None in known or known[0] == known[1]
