"""From a source to a prepared data set: the array, checked, and the manifest that describes it."""

import contextlib
import itertools
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.files import atomic_path, digest_of_many, file_digest, write_json
from fpa.core.locks import locked
from fpa.core.progress import log
from fpa.core.stages import STAGES
from fpa.data import parallel
from fpa.data.changes import check_source, stamp
from fpa.data.parallel import Outcome
from fpa.data.readers import Found, Listing, Reader, list_images, open_source
from fpa.data.sources import SOURCES, DatasetSpec, instructions
from fpa.data.store import images_digest, open_store

SCRATCH = "unfinished"
"""Folder below a store for unfinished work; the next call continues from it."""


def prepare(dataset: DatasetSpec, folder: Path, workers: int = 0) -> dict[str, Any]:
    """Write a data set's images to `folder` and return the manifest.

    dataset: its settings. workers: processes; 0 for one a core. The
    manifest is written last, and each file appears whole. UserError when the source is missing or
    damaged, when it does not hold the expected number of images, or when more images are
    unreadable than the data set allows. Another process that prepares the same folder is waited for.
    What is prepared already, from the same images, stays as it is.
    """
    path = dataset.path
    if path is not None and not Path(path).expanduser().exists():
        raise UserError(instructions(dataset.name, dataset.source, path))
    scratch = folder / SCRATCH
    with (
        locked(scratch, f"preparing {folder}", wait=True),
        _cleaning_up(scratch),
        _write_errors(folder),
    ):
        if check_source(dataset, folder):
            log.info("%s: prepared already; delete the folder to prepare it again", folder)
            return open_store(folder)[1]
        reader = open_source(dataset.source, path, scratch)
        with contextlib.closing(reader):
            manifest = _prepare(dataset, reader, folder, workers)
        with atomic_path(folder / artifacts.IMAGES) as target:
            os.replace(scratch / artifacts.IMAGES, target)
        write_json(folder / artifacts.MANIFEST, manifest)
        for rest in scratch.iterdir():
            rest.unlink()
    return manifest


def _prepare(dataset: DatasetSpec, reader: Reader, folder: Path, workers: int) -> dict[str, Any]:
    """Make the array in the scratch folder, and return its manifest."""
    array = folder / SCRATCH / artifacts.IMAGES
    listing = list_images(reader, SOURCES[dataset.source].folders)
    _check_count(dataset, len(listing.images))
    source = _describe_source(dataset, reader)
    plan = digest_of_many(
        itertools.chain([dataset.as_json(), _stamp(reader)], map(_signature, listing.images))
    )
    with parallel.Job(dataset, reader, listing.images, array, plan) as job:
        outcomes = parallel.carry_out(job, workers or len(os.sched_getaffinity(0)))
    manifest = _describe(dataset, source, stamp(reader, listing), listing, outcomes)
    _check_unreadable(dataset, manifest, folder)
    if manifest["unreadable"]:
        parallel.drop([i for i, outcome in enumerate(outcomes) if len(outcome) == 1], array)
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


@contextlib.contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    """A full disk or a forbidden folder as a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; free some space or choose another "
            "folder, then run the same command again"
        ) from error


def _check_count(dataset: DatasetSpec, found: int) -> None:
    expected = dataset.count
    if expected is not None and found != expected:
        raise UserError(
            f"{dataset.path or dataset.source} holds {found:,} images, expected "
            f"{expected:,} for {dataset.name}; fetch it again if it is not whole, or set "
            f"datasets.{dataset.name}.count: {found} if these are the images you mean"
        )


def _check_unreadable(dataset: DatasetSpec, manifest: Mapping[str, Any], folder: Path) -> None:
    unreadable = manifest["unreadable"]
    (folder / artifacts.UNREADABLE).unlink(missing_ok=True)
    for entry in unreadable[:10]:
        log.warning("cannot read %s: %s", entry["name"], entry["reason"])
    if len(unreadable) > dataset.max_unreadable:
        write_json(folder / artifacts.UNREADABLE, unreadable)
        raise UserError(
            f"{len(unreadable):,} images of {dataset.name} cannot be read, all listed in "
            f"{folder / artifacts.UNREADABLE}; mend or remove them, or set datasets.{dataset.name}."
            f"max_unreadable: {len(unreadable)} to go on without them"
        )
    if not manifest["count"]:
        raise UserError(f"not one image of {dataset.name} can be read; look at its files")


def _describe_source(dataset: DatasetSpec, reader: Reader) -> dict[str, Any]:
    """The manifest's entry about the source; UserError for another archive than the published one.

    An archive that is meant to hold another number of images is not compared.
    """
    source = SOURCES[dataset.source]
    about: dict[str, Any] = {"name": dataset.source, "kind": reader.kind}
    if dataset.path is None:
        return about
    path = Path(dataset.path).expanduser()
    about |= {"file": path.name}
    if path.is_file():
        about |= {"bytes": path.stat().st_size}
        published = {"md5": source.md5, "sha256": source.sha256}
        for algorithm, expected in published.items():
            if not expected or dataset.count != source.count:
                continue
            about[algorithm] = file_digest(path, algorithm)
            if about[algorithm] != expected:
                raise UserError(
                    f"{path} is not the archive as published ({algorithm.upper()} "
                    f"{about[algorithm]}, published {expected}); fetch it again, or, if these are "
                    f"the images you mean, unpack it and set datasets.{dataset.name}.path to "
                    "the folder"
                )
    return about


def _stamp(reader: Reader) -> list[Any]:
    """Changes when a source that is one file does."""
    path = reader.path
    if path is None or path.is_dir():
        return [str(path)]
    about = path.stat()
    return [str(path), about.st_size, about.st_mtime_ns]


def _signature(found: Found) -> list[Any]:
    """Changes when one file of the source does."""
    return [found.name, found.size, repr(found.place), found.problem]


def _describe(
    dataset: DatasetSpec,
    source: Mapping[str, Any],
    made_from: str,
    listing: Listing,
    outcomes: list[Outcome],
) -> dict[str, Any]:
    """The manifest: all that is needed to understand and check the array."""
    pairs = list(zip(listing.images, outcomes, strict=True))
    read = [(found.name, *outcome) for found, outcome in pairs if len(outcome) == 2]
    same: defaultdict[str, list[str]] = defaultdict(list)
    for name, _, pixels in read:
        same[pixels].append(name)
    files = Counter(file for _, file, _ in read)
    return {
        "dataset": dataset.as_json(),
        "count": len(read),
        # The same for a zip, a tar and a folder of the same images.
        "source": {
            **source,
            "stamp": made_from,
            "files_sha256": digest_of_many((name, file) for name, file, _ in read),
        },
        "images_sha256": images_digest(pixels for _, _, pixels in read),
        "names": [name for name, _, _ in read],
        "unreadable": [
            {"name": found.name, "reason": outcome[0]}
            for found, outcome in pairs
            if len(outcome) == 1
        ],
        "ignored": [{"name": found.name, "reason": found.problem} for found in listing.ignored],
        "duplicates": {
            "files": sum(files.values()) - len(files),
            "images": len(read) - len(same),
            "groups": [names for names in same.values() if len(names) > 1],
        },
        "stages": {"prepare": STAGES["prepare"]},
        "versions": provenance.versions(),
    }
