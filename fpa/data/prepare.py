"""From a source to a prepared data set: images decoded on all cores into one array, and its manifest.

Each process decodes a few images at a time and writes them to their places in the array's file. Their
outcomes (digests, or why an image cannot be read) are saved beside it every fraction of a second,
always after the pixels, so that an interrupted call is continued by the next one.
"""

import contextlib
import ctypes
import gc
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.files import (
    atomic_path,
    digest_of_many,
    file_digest,
    locked,
    new_array,
    write_errors,
    write_json,
)
from fpa.core.progress import Progress, log
from fpa.core.provenance import STAGES
from fpa.data import store
from fpa.data.picture import FILTERS, decode, formats
from fpa.data.readers import Found, Listing, Reader, in_words, kinds, list_images
from fpa.data.source_validation import check_source, stamp
from fpa.data.sources import SOURCES, DatasetSpec, instructions
from fpa.data.store import Manifest

SCRATCH = "unfinished"
"""Folder below a store for unfinished work; the next call continues from it."""
NOTES = "notes.jsonl"
"""In there: what is done so far."""
CHUNK = 64
"""Images that a process decodes at a time."""
SAVE_SECONDS = 0.3
"""Time between two saves of what is done."""

Outcome: TypeAlias = list[str]
"""One image's [digest of the file, digest of the pixels], or [why it cannot be read]."""


def prepare(dataset: DatasetSpec, folder: Path, workers: int = 0) -> Manifest:
    """Write a data set's images to `folder` and return the manifest.

    workers: processes; 0 for one a core. The manifest is written last, and each file appears whole.
    UserError when the source is missing or damaged, when it does not hold the expected number of
    images, or when more images are unreadable than the data set allows. Another process that
    prepares the same folder is waited for. What is prepared already, from the same images, stays as
    it is.
    """
    path = dataset.path
    if path is not None and not Path(path).expanduser().exists():
        raise UserError(instructions(dataset.name, dataset.source, path))
    scratch = folder / SCRATCH
    _check_place(folder)
    with (
        locked(scratch, f"preparing {folder}", wait=True),
        _cleaning_up(scratch),
        write_errors(folder),
    ):
        if check_source(dataset, folder):
            log.info("%s: prepared already; delete the folder to prepare it again", folder)
            return store.read_manifest(folder)
        with contextlib.closing(SOURCES[dataset.source].open(path, scratch)) as reader:
            if reader.path and folder.resolve() == reader.path.resolve():
                raise UserError(
                    f"{folder} is the folder of the images themselves; name another folder"
                )
            manifest = _prepare(dataset, reader, folder, workers)
        with atomic_path(folder / artifacts.IMAGES) as target:
            os.replace(scratch / artifacts.IMAGES, target)
        write_json(folder / artifacts.MANIFEST, manifest.as_json())
        for rest in scratch.iterdir():
            rest.unlink()
    return manifest


def _check_place(folder: Path) -> None:
    """UserError for a folder with an array of images that nothing here has made."""
    array = folder / artifacts.IMAGES
    ours = (folder / artifacts.MANIFEST, folder / SCRATCH / NOTES)
    if array.exists() and not any(path.exists() for path in ours):
        raise UserError(
            f"{array} is there without a {artifacts.MANIFEST} and would be overwritten; move or "
            "delete it, or name another folder"
        )


def _prepare(dataset: DatasetSpec, reader: Reader, folder: Path, workers: int) -> Manifest:
    array = folder / SCRATCH / artifacts.IMAGES
    listing = list_images(reader, SOURCES[dataset.source].folders)
    found, expected = len(listing.images), dataset.count
    if expected is not None and found != expected:
        raise UserError(
            f"{dataset.path or dataset.source} holds {found:,} images, expected {expected:,} for "
            f"{dataset.name}; fetch it again if it is not whole, or set datasets.{dataset.name}."
            f"count: {found} if these are the images you mean"
        )
    published = _check_archive(dataset)
    with contextlib.closing(Job(dataset, reader, listing.images, array)) as job:
        outcomes = job.run(workers or len(os.sched_getaffinity(0)))
    manifest = _describe(dataset, reader, published, listing, outcomes)
    _check_unreadable(dataset, manifest, folder)
    if manifest.unreadable:
        _drop_rows([i for i, outcome in enumerate(outcomes) if len(outcome) == 1], array)
    return manifest


@contextlib.contextmanager
def _cleaning_up(scratch: Path) -> Iterator[None]:
    """Remove the scratch folder if nothing is left to continue from."""
    try:
        yield
    finally:
        if {path.name for path in scratch.iterdir()} <= {"lock"}:
            shutil.rmtree(scratch)
            with contextlib.suppress(OSError):
                scratch.parent.rmdir()


def _check_archive(dataset: DatasetSpec) -> dict[str, str]:
    """An archive's digests that are published; UserError when this is another one.

    An archive that is meant to hold another number of images is not compared.
    """
    source, path = SOURCES[dataset.source], Path(dataset.path or "").expanduser()
    found: dict[str, str] = {}
    if not path.is_file() or dataset.count != source.count:
        return found
    for algorithm, expected in (("md5", source.md5), ("sha256", source.sha256)):
        found |= {algorithm: file_digest(path, algorithm)} if expected else {}
        if expected and found[algorithm] != expected:
            raise UserError(
                f"{path} is not the archive as published ({algorithm.upper()} {found[algorithm]}, "
                f"published {expected}); fetch it again, or, if these are the images you mean, "
                f"unpack it and set datasets.{dataset.name}.path to the folder"
            )
    return found


def _describe(
    dataset: DatasetSpec,
    reader: Reader,
    published: dict[str, str],
    listing: Listing,
    outcomes: list[Outcome],
) -> Manifest:
    path = Path(dataset.path).expanduser() if dataset.path else None
    pairs = list(zip(listing.images, outcomes, strict=True))
    read = [(found.name, *outcome) for found, outcome in pairs if len(outcome) == 2]
    same: defaultdict[str, list[str]] = defaultdict(list)
    for name, _, pixels in read:
        same[pixels].append(name)
    files = Counter(file for _, file, _ in read)
    return Manifest(
        dataset=dataset,
        count=len(read),
        source=store.SourceRecord(
            name=dataset.source,
            kind=reader.kind,
            stamp=stamp(reader, listing),
            files_sha256=digest_of_many((name, file) for name, file, _ in read),
            file=path.name if path else None,
            bytes=path.stat().st_size if path and path.is_file() else None,
            **published,
        ),
        images_sha256=store.images_digest(pixels for _, _, pixels in read),
        names=[name for name, _, _ in read],
        unreadable=[
            store.LeftOut(name=f.name, reason=outcome[0])
            for f, outcome in pairs
            if len(outcome) == 1
        ],
        ignored=[store.LeftOut(name=f.name, reason=f.problem) for f in listing.ignored],
        duplicates=store.Duplicates(
            files=sum(files.values()) - len(files),
            images=len(read) - len(same),
            groups=[names for names in same.values() if len(names) > 1],
        ),
        stages={"prepare": STAGES["prepare"]},
        versions=provenance.versions(),
    )


def _check_unreadable(dataset: DatasetSpec, manifest: Manifest, folder: Path) -> None:
    """UserError when more images cannot be read than the data set allows; all are listed in a file."""
    unreadable, path = manifest.unreadable, folder / artifacts.UNREADABLE
    path.unlink(missing_ok=True)
    for entry in unreadable[:10]:
        log.warning("cannot read %s: %s", entry.name, entry.reason)
    if len(unreadable) > dataset.max_unreadable:
        write_json(path, [entry.model_dump() for entry in unreadable])
        by_kind = in_words(kinds((entry.name, entry.reason) for entry in unreadable))
        raise UserError(
            f"{len(unreadable):,} images of {dataset.name} cannot be read, all listed in {path}: "
            f"{by_kind}; mend or remove them, or set datasets.{dataset.name}.max_unreadable: "
            f"{len(unreadable)} to go on without them"
        )
    if not manifest.count:
        raise UserError(f"not one image of {dataset.name} can be read; look at its files")


def _drop_rows(rows: list[int], path: Path) -> None:
    images = np.load(path, mmap_mode="r")
    kept = np.setdiff1d(np.arange(len(images)), rows)
    smaller = path.with_name("kept.npy")
    target = new_array(smaller, np.uint8, (len(kept), *images.shape[1:]))
    for start in range(0, len(kept), 1024):
        target[start : start + 1024] = images[kept[start : start + 1024]]
    target.flush()
    os.replace(smaller, path)


# Decoding on all cores ----------------------------------------------------------------------------


class Job:
    """What the processes share: the images to read, the array to write, and what is done of it."""

    def __init__(self, dataset: DatasetSpec, reader: Reader, found: list[Found], path: Path):
        self.dataset, self.reader, self.found, self.path = dataset, reader, found, path
        self.plan = _plan(dataset, reader, found)
        self.notes = path.with_name(NOTES)
        self.image_shape = (dataset.channels, dataset.resolution, dataset.resolution)
        self.outcomes: list[Outcome | None] = [None] * len(found)
        self.unsaved: list[str] = []
        self.saved = time.monotonic()
        shape = (len(found), *self.image_shape)
        if not self._continue(shape):
            self.notes.unlink(missing_ok=True)
            try:
                # Of its full size, so that a full disk is noticed now, not in an hour.
                new_array(path, np.uint8, shape)
            except OSError:
                path.unlink(missing_ok=True)
                raise
            self.notes.write_text(json.dumps({"plan": self.plan}) + "\n", encoding="utf-8")
        self.file = os.open(path, os.O_RDWR)
        self.start = os.fstat(self.file).st_size - math.prod(shape)

    def close(self) -> None:
        self._save()
        os.close(self.file)

    def _continue(self, shape: tuple[int, ...]) -> bool:
        """Load the outcomes of an interrupted call of the same plan; whether there was one."""
        try:
            lines = self.notes.read_text(encoding="utf-8").splitlines()
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

    def run(self, workers: int) -> list[Outcome]:
        """Do what is left of the job. Returns the outcome of every image."""
        count = len(self.found)
        chunks = [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        chunks = [chunk for chunk in chunks if self.outcomes[chunk[0]] is None]
        done = count - sum(stop - start for start, stop in chunks)
        if done:
            log.info("continuing after %d of %d images", done, count)
        bar = Progress(count, f"preparing {self.dataset.name}", "images", done=done)
        results = _decode_chunks(self, chunks, workers)
        with contextlib.closing(bar), contextlib.closing(results):
            for (start, stop), outcomes in zip(chunks, results, strict=True):
                self.outcomes[start:stop] = outcomes
                self.unsaved.append(json.dumps({"start": start, "outcomes": outcomes}) + "\n")
                if time.monotonic() - self.saved > SAVE_SECONDS:
                    self._save()
                bar.update(stop - start)
        return [outcome for outcome in self.outcomes if outcome is not None]

    def _save(self) -> None:
        os.fsync(self.file)
        with open(self.notes, "a", encoding="utf-8") as file:
            file.writelines(self.unsaved)
            file.flush()
            os.fsync(file.fileno())
        self.unsaved, self.saved = [], time.monotonic()

    def decode(self, chunk: tuple[int, int]) -> list[Outcome]:
        """Read and decode some images, and write them to their places."""
        start, stop = chunk
        pixels = np.zeros((stop - start, *self.image_shape), np.uint8)
        outcomes = [
            self._one(found, out) for found, out in zip(self.found[start:stop], pixels, strict=True)
        ]
        # No two processes write to the same place.
        os.pwrite(self.file, pixels.data, self.start + start * pixels[0].size)
        return outcomes

    def _one(self, found: Found, out: np.ndarray) -> Outcome:
        if found.problem:
            return [found.problem]
        dataset = self.dataset
        try:
            data = self.reader.read(found.place)
            out[:] = decode(data, dataset.resolution, dataset.channels, FILTERS[dataset.filter])
        except Exception as error:
            # Whatever a decoder raises for a file that it cannot read, and there are many.
            return [" ".join(str(error).split()) or type(error).__name__]
        return [hashlib.sha256(data).hexdigest(), store.image_digest(out)]


def _plan(dataset: DatasetSpec, reader: Reader, found: list[Found]) -> str:
    """Digest that changes when the settings, the source or what can be read do: then nothing is continued."""
    path = reader.path
    whole: list[Any] = [str(path), formats(), PIL.__version__]
    if path is not None and not path.is_dir():
        whole += [path.stat().st_size, path.stat().st_mtime_ns]
    files = ([f.name, f.size, repr(f.place), f.problem] for f in found)
    return digest_of_many(itertools.chain([dataset.as_json(), whole], files))


_job: Job


def _decode_chunks(
    job: Job, chunks: list[tuple[int, int]], workers: int
) -> Generator[list[Outcome]]:
    # Forked processes share the open archive, the list and the array, and start at once.
    global _job
    _job = job
    workers = min(workers, len(chunks))
    if workers <= 1:
        yield from map(_decode_chunk, chunks)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _end_with_parent)
    try:
        yield from pool.map(_decode_chunk, chunks)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that decodes images was killed (out of memory?); run the same command "
            "again to go on, with fewer --workers if need be"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_chunk(chunk: tuple[int, int]) -> list[Outcome]:
    return _job.decode(chunk)


def _end_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Keep inherited memory out of garbage collection, which would copy all of it.
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, Linux
