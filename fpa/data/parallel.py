"""Decodes many images on all cores into one array file, and continues after an interruption.

Each process decodes a few images at a time and writes them to their places in the file. Their
outcomes (digests, or why an image cannot be read) are saved beside the array every fraction of a
second, always after the pixels.
"""

import contextlib
import ctypes
import gc
import hashlib
import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import UnidentifiedImageError

from fpa.core.errors import UserError
from fpa.core.files import new_array
from fpa.core.progress import Progress, log
from fpa.data.picture import FILTERS, decode
from fpa.data.readers import LARGEST_FILE, Found, Reader
from fpa.data.sources import DatasetSpec
from fpa.data.store import image_digest

CHUNK = 64
"""Images that a process decodes at a time."""
SAVE_SECONDS = 0.3
"""Time between two saves of what is done."""

Outcome: TypeAlias = list[str]
"""One image's [digest of the file, digest of the pixels], or [why it cannot be read]."""


class Job:
    """What the processes share: the images to read and the array to write."""

    def __init__(
        self, dataset: DatasetSpec, reader: Reader, found: list[Found], path: Path, plan: str
    ) -> None:
        self.reader, self.found, self.path, self.plan = reader, found, path, plan
        self.notes = path.with_name("notes.jsonl")
        self.size, self.channels = dataset.resolution, dataset.channels
        self.resample = FILTERS[dataset.filter]
        self.label = f"preparing {dataset.name}"
        self.outcomes: list[Outcome | None] = [None] * len(found)
        shape = (len(found), self.channels, self.size, self.size)
        if not self._continue(shape):
            self.notes.unlink(missing_ok=True)
            _make_room(path, shape)
            self.notes.write_text(json.dumps({"plan": plan}) + "\n")
        self.file = os.open(path, os.O_RDWR)
        self.start = os.fstat(self.file).st_size - math.prod(shape)

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def _continue(self, shape: tuple[int, ...]) -> bool:
        """Load the outcomes of an interrupted call of the same plan; whether there was one."""
        try:
            lines = self.notes.read_text().splitlines()
            if json.loads(lines[0])["plan"] != self.plan:
                return False
            if np.load(self.path, mmap_mode="r").shape != shape:
                return False
        except (OSError, ValueError, LookupError):
            return False
        for line in lines[1:]:
            # The last line may be cut off.
            with contextlib.suppress(ValueError):
                note = json.loads(line)
                start = note["start"]
                self.outcomes[start : start + len(note["outcomes"])] = note["outcomes"]
        return True

    def work(self, start: int, stop: int) -> list[Outcome]:
        """Read and decode some images, and write them to their places."""
        pixels = np.zeros((stop - start, self.channels, self.size, self.size), np.uint8)
        outcomes = [
            self._one(found, out) for found, out in zip(self.found[start:stop], pixels, strict=True)
        ]
        # No two processes write to the same place.
        os.pwrite(self.file, pixels.data, self.start + start * pixels[0].size)
        return outcomes

    def _one(self, found: Found, out: np.ndarray) -> Outcome:
        if found.problem:
            return [found.problem]
        try:
            data = self.reader.read(found.place)
            if len(data) > LARGEST_FILE:
                return [f"{len(data):,} bytes are too many for an image"]
            out[:] = decode(data, self.size, self.channels, self.resample)
        except UnidentifiedImageError:
            return ["no image, or of an unknown format"]
        except Exception as error:
            # Whatever a decoder raises for a file that it cannot read, and there are many.
            return [" ".join(str(error).split()) or type(error).__name__]
        return [hashlib.sha256(data).hexdigest(), image_digest(out)]


def _make_room(path: Path, shape: tuple[int, ...]) -> None:
    """An empty array file of its full size, so that a full disk is noticed now, not in an hour."""
    try:
        new_array(path, np.uint8, shape)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def carry_out(job: Job, workers: int) -> list[Outcome]:
    """Do what is left of the job. Returns the outcome of every image."""
    count = len(job.found)
    chunks = [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    chunks = [chunk for chunk in chunks if job.outcomes[chunk[0]] is None]
    done = count - sum(stop - start for start, stop in chunks)
    if done:
        log.info("going on after %d of %d images", done, count)
    bar = Progress(count, job.label, "images", done=done)
    results = _outcomes(job, chunks, workers)
    with _Notes(job) as notes, contextlib.closing(bar), contextlib.closing(results):
        for (start, stop), outcomes in zip(chunks, results, strict=True):
            job.outcomes[start:stop] = outcomes
            notes.add(start, outcomes)
            bar.update(stop - start)
    return [outcome for outcome in job.outcomes if outcome is not None]


def _outcomes(job: Job, chunks: list[tuple[int, int]], workers: int) -> Generator[list[Outcome]]:
    """The outcomes of each chunk, in order."""
    _start(job)
    if min(workers, len(chunks)) <= 1:
        yield from map(_work, chunks)
        return
    # Forked processes share the open archive, the list and the array, and start at once.
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)), multiprocessing.get_context("fork"), _leave_with_parent
    )
    try:
        yield from pool.map(_work, chunks)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that decodes images was killed (out of memory?); run the same command "
            "again to go on, with fewer --workers if need be"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_job: Job


def _start(job: Job) -> None:
    global _job
    _job = job


def _leave_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Keep inherited memory out of garbage collection, which would copy all of it.
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, Linux


def _work(chunk: tuple[int, int]) -> list[Outcome]:
    return _job.work(*chunk)


class _Notes:
    """Saves outcomes, always after their pixels."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.waiting: list[str] = []
        self.saved = time.monotonic()

    def __enter__(self) -> "_Notes":
        return self

    def __exit__(self, *_: object) -> None:
        self.save()

    def add(self, start: int, outcomes: list[Outcome]) -> None:
        self.waiting.append(json.dumps({"start": start, "outcomes": outcomes}) + "\n")
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        os.fsync(self.job.file)
        with open(self.job.notes, "a") as file:
            file.writelines(self.waiting)
            file.flush()
            os.fsync(file.fileno())
        self.waiting, self.saved = [], time.monotonic()


def drop(rows: list[int], path: Path) -> None:
    """Rewrite the array without these rows."""
    images = np.load(path, mmap_mode="r")
    kept = np.setdiff1d(np.arange(len(images)), rows)
    smaller = path.with_name("kept.npy")
    shape = (len(kept), *images.shape[1:])
    target = new_array(smaller, np.uint8, shape)
    for start in range(0, len(kept), 1024):
        target[start : start + 1024] = images[kept[start : start + 1024]]
    target.flush()
    os.replace(smaller, path)
