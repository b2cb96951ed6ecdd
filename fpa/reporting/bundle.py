"""One file with what an experiment's tables, figures and report are made from, to take elsewhere.

A gzipped tar: first `manifest.json`, which names every other file, its size and its SHA-256, then
the experiment's description; the same results give the same bytes. Unpacking restores the files
that the description asks for, in the folders of an experiment's runs and real samples, no others,
and checks each before any is put in its place.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

import fpa
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import (
    DAMAGED,
    MOST_BLOWN_UP,
    atomic_open,
    canonical_json,
    file_digest,
    is_plain_file,
    members,
    open_tar,
    read_json,
)
from fpa.experiment.experiment import Experiment
from fpa.reporting.figures import figures
from fpa.reporting.player import played_files

FORMAT = 2
MANIFEST = "manifest.json"
IN_FOLDERS = ("runs/", "real/")
"""Where the files of a bundle lie, below the results folder."""
LARGEST_TEXT = 64 << 20
"""Bytes of a manifest or description, at most."""
SCRATCH = ".unpack-"
"""How the folder begins in which files lie until all of them have been checked."""


class File(BaseModel):
    """A file as the manifest describes it."""

    bytes: Annotated[int, Field(ge=0, strict=True)]
    sha256: str


class Manifest(BaseModel):
    """What a bundle's first file says."""

    format: int
    fpa: str
    experiment: str
    files: dict[str, File]


# Packing --------------------------------------------------------------------------------------


def contents(experiment: Experiment, weights: bool = False, optional: bool = False) -> list[str]:
    """The files of a finished experiment's bundle, below the results folder.

    optional: also those that it may lack.
    """
    found: set[str] = set()
    for run in experiment.runs:
        names = [artifacts.RUN, artifacts.SUMMARY, artifacts.HISTORY]
        names += [protocol.score_file for protocol in experiment.protocols]
        names += [artifacts.COST] * (run.seed == experiment.first_seed)
        names += [artifacts.WEIGHTS] * weights
        found |= {f"{run.folder}/{name}" for name in names}
    specs = figures(experiment)
    found |= set(played_files(experiment, specs))
    for spec in specs.values():
        # Everything but tables, which are made again from the scores.
        found |= {
            part.path
            for part in spec.inputs
            if part.path.startswith(IN_FOLDERS) and (optional or not part.optional)
        }
    return sorted(found)


def pack(results: Path, out: Path, weights: bool = False) -> int:
    """Write the bundle of a finished experiment; its number of files. UserError if one is missing."""
    experiment = Experiment.read(results)
    needed = {artifacts.EXPERIMENT, *contents(experiment, weights)}
    # The description comes first, right after the manifest.
    names = [artifacts.EXPERIMENT, *contents(experiment, weights, optional=True)]
    names = [name for name in names if name in needed or (results / name).is_file()]
    missing = [name for name in names if not (results / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} files are not in {results}, the first is {missing[0]}; "
            "finish the experiment first"
        )
    files = {
        name: File(bytes=(results / name).stat().st_size, sha256=file_digest(results / name))
        for name in names
    }
    manifest = Manifest(format=FORMAT, fpa=fpa.__version__, experiment=experiment.name, files=files)
    with (
        atomic_open(out) as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        text = canonical_json(manifest.model_dump()).encode()
        archive.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        for name in names:
            with open(results / name, "rb") as content:
                archive.addfile(_member(name, files[name].bytes), content)
    return len(names)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Name and size alone: no owner, no time."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member


# Unpacking ------------------------------------------------------------------------------------


def unpack(path: Path, into: Path | None = None) -> Path:
    """Restore a bundle's files, all or none; the folder. UserError when anything is wrong with it.

    Without `into`, the folder is the one in the experiment's configuration, which has to be
    `results` or a folder in it. The folder must be new, empty or this experiment's.
    """
    # Tiny files of a tar have large headers: its texts may be small, but are never this large.
    most = max(LARGEST_TEXT, MOST_BLOWN_UP * path.stat().st_size)
    try:
        with gzip.open(path) as unpacked, open_tar(unpacked, most) as archive:
            found = members(archive)
            files = _read_manifest(path, archive, next(found, None))
            if sum(file.bytes for file in files.values()) > most:
                raise tarfile.ReadError(f"it unpacks to more than {most:,} bytes")
            text = _read_description(path, archive, next(found, None), files)
            experiment = _check_contents(path, text, files)
            folder = into or _configured_folder(path, experiment)
            _check_owner(folder, files)
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as name:
                (Path(name) / artifacts.EXPERIMENT).write_bytes(text)
                _extract(path, archive, found, files, Path(name))
                _put(Path(name), folder, files)
    except DAMAGED as error:
        raise UserError(f"{path} is damaged or not a bundle ({error}); fetch it again") from error
    return folder


def _read_manifest(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None
) -> dict[str, File]:
    """The files that a bundle's manifest names."""
    if member is None or member.name != MANIFEST or not is_plain_file(member):
        raise UserError(f"{path} is not a bundle: it does not begin with a {MANIFEST}")
    try:
        manifest = json.loads(_read_text(path, archive, member))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its {MANIFEST} is not valid JSON") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        made_by = manifest.get("fpa") if isinstance(manifest, dict) else None
        version = f"version {made_by}" if isinstance(made_by, str) else "an unknown version"
        raise UserError(
            f"{path} has bundle format {found}, made by {version}; this version "
            f"({fpa.__version__}) reads format {FORMAT}: unpack it with the version that made it, "
            "or make the bundle again with this one"
        )
    try:
        return Manifest.model_validate(manifest).files
    except ValidationError as error:
        raise UserError(f"{path}: its {MANIFEST} does not list files as a bundle's does") from error


def _read_text(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """A member that is read whole, if it is not too large for that."""
    if member.size > LARGEST_TEXT:
        raise UserError(
            f"{path}: its {member.name} has {member.size:,} bytes, more than any bundle's"
        )
    content = archive.extractfile(member)
    return content.read() if content else b""


def _read_description(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None, files: dict[str, File]
) -> bytes:
    """The experiment's description, checked against the manifest."""
    name = artifacts.EXPERIMENT
    if name not in files or member is None or member.name != name or not is_plain_file(member):
        raise UserError(f"{path} has no {name} after its {MANIFEST}; fetch it again")
    text = _read_text(path, archive, member)
    _check_digest(path, name, hashlib.sha256(text).hexdigest(), files)
    return text


def _check_contents(path: Path, text: bytes, files: dict[str, File]) -> Experiment:
    """The description; UserError when the bundle holds a file that it does not ask for."""
    try:
        experiment = Experiment.parse(json.loads(text), path)
        expected = {artifacts.EXPERIMENT, *contents(experiment, weights=True, optional=True)}
    except Exception as error:
        # Whatever the figures of a made-up experiment lead to.
        raise UserError(
            f"{path}: its {artifacts.EXPERIMENT} is not one of this version ({fpa.__version__})"
        ) from error
    for run in experiment.runs:
        name = artifacts.run_name(run.seed, run.digest)
        if run.folder != artifacts.run_folder(run.dataset, run.model, name):
            raise UserError(f"{path}: its {artifacts.EXPERIMENT} has a run in {run.folder!r}")
    for name in files:
        inside = name.startswith((artifacts.EXPERIMENT, *IN_FOLDERS))
        if name not in expected or not inside or ".." in name.split("/"):
            raise UserError(
                f"{path} holds {name!r}, which is not a file of its experiment; nothing was "
                "restored (if the experiment uses plugins, they are needed here too)"
            )
    return experiment


def _configured_folder(path: Path, experiment: Experiment) -> Path:
    """The results folder of the configuration, where that is safe to write to."""
    found = experiment.config.results or f"results/{experiment.name}"
    pure = PurePosixPath(found)
    # As it is written, without `..` and `.`: below a folder `results` here, and nowhere else.
    if pure.parts[:1] != ("results",) or ".." in pure.parts or str(pure) != found:
        raise UserError(
            f"{path} was made from {found!r}, which is not below a folder 'results' here; name a "
            "folder for it by --into"
        )
    return Path(pure)


def _check_owner(folder: Path, files: dict[str, File]) -> None:
    """UserError when the folder has something else in it than results of this experiment."""
    owner = folder / artifacts.EXPERIMENT
    if not owner.exists() and folder.is_dir():
        others = [p for p in folder.iterdir() if not p.name.startswith(SCRATCH)]
        if others:
            raise UserError(
                f"{folder} is neither empty nor has results of this experiment; name another "
                "folder by --into"
            )
    if owner.exists() and file_digest(owner) != files[artifacts.EXPERIMENT].sha256:
        about = read_json(owner)
        other = about.get("experiment") if isinstance(about, dict) else None
        raise UserError(
            f"{folder} has results of another experiment ({other}); name another folder by --into"
        )


def _check_digest(path: Path, name: str, found: str, files: dict[str, File]) -> None:
    expected = files[name].sha256
    if found != expected:
        raise UserError(
            f"{path}: {name} has SHA-256 {found[:12]}..., expected {expected[:12]}...; the bundle "
            "is damaged, fetch it again"
        )


def _extract(
    path: Path,
    archive: tarfile.TarFile,
    members: Iterator[tarfile.TarInfo],
    files: dict[str, File],
    folder: Path,
) -> None:
    """Write the files to a folder, each checked against the manifest."""
    left = {name: file for name, file in files.items() if name != artifacts.EXPERIMENT}
    for member in members:
        expected = left.pop(member.name, None)
        if expected is None:
            raise UserError(f"{path} holds {member.name!r}, which its {MANIFEST} does not name")
        if not is_plain_file(member) or member.size != expected.bytes:
            raise UserError(f"{path}: {member.name} is not the file that its {MANIFEST} names")
        # Under the name that was checked; Python 3.11 has tarfile's own filter from 3.11.4 on only.
        place, content = folder / member.name, archive.extractfile(member)
        place.parent.mkdir(parents=True, exist_ok=True)
        assert content
        with content, place.open("wb") as file:
            shutil.copyfileobj(content, file)
    if left:
        raise UserError(f"{path} lacks {len(left)} files, the first is {min(left)}; fetch it again")
    # Only now: where case makes no difference, one of them may have replaced another.
    for name in files:
        _check_digest(path, name, file_digest(folder / name), files)


def _put(source: Path, folder: Path, files: dict[str, File]) -> None:
    """Move the files to their places; the experiment's description last."""
    inside = folder.resolve()
    for name in files:
        if not (folder / name).resolve().is_relative_to(inside):
            raise UserError(f"{folder / name} leads out of {folder} by a link; remove the link")
    # One time for all, so that none seems to be older than what it was made from.
    now = time.time()
    for name in sorted(files, key=lambda name: name == artifacts.EXPERIMENT):
        os.utime(source / name, (now, now))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, folder / name)
