"""A finished run's second names: hard links below its state, out of everyone's reach.

Snakemake removes the outputs of a job that failed, even one that failed after the training was
done, and those of a job that it starts again. The links cost no room, and a training that finds
them puts its results back instead of training again.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import atomic_path, read_json
from fpa.runs.run import Run

FILES = (artifacts.WEIGHTS, artifacts.HISTORY, artifacts.SUMMARY)
"""The summary is the last: where it is, all is."""


def kept_folder(run_folder: Path) -> Path:
    """Where a finished training's files are kept."""
    return run_folder / artifacts.STATE / artifacts.KEPT


def publish(run_folder: Path) -> None:
    """Give the kept files their names in the run's folder, and drop the checkpoints."""
    for name in FILES:
        with atomic_path(run_folder / name) as temporary:
            _link(kept_folder(run_folder) / name, temporary)
        # As new as if the training had just ended: Snakemake compares times.
        os.utime(run_folder / name)
    for checkpoint in (run_folder / artifacts.STATE).glob("step-*.pt"):
        checkpoint.unlink(missing_ok=True)


def finish_again(run_folder: Path, run: Run, images: str) -> bool:
    """Put a finished run's files back; whether this run is finished, so that nothing is to be done.

    images: the digest of the prepared images. UserError when the run was trained on other ones.
    """
    for folder in (kept_folder(run_folder), run_folder):
        if all((folder / name).exists() for name in FILES):
            summary = read_json(folder / artifacts.SUMMARY)
            # An imported run may have a budget that it has not spent.
            if summary.get("digest") == run.digest and summary["steps"] >= run.steps:
                _check_images(run_folder, summary, images)
                if folder != run_folder:
                    publish(run_folder)
                return True
    return False


def _check_images(run_folder: Path, summary: dict[str, Any], images: str) -> None:
    if summary["images_sha256"] not in (images, None):
        raise UserError(
            f"{run_folder} was trained on other images than are prepared now; prepare the same "
            "images again, or delete the folder to train afresh"
        )


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
