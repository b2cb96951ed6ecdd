"""Restores a bundle's files (fpa.reporting.bundle), each checked before any is put in its place."""

import gzip
import hashlib
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fpa
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_json
from fpa.core.tars import DAMAGED, MOST_BLOWN_UP, is_plain_file, members, open_tar
from fpa.reporting.bundle import FORMAT, IN_FOLDERS, MANIFEST, contents
from fpa.reporting.description import Description

LARGEST_TEXT = 64 << 20
"""Bytes of a manifest or description, at most."""
SCRATCH = ".unpack-"
"""How the folder begins in which files lie until all of them have been checked."""
Files = Mapping[str, Mapping[str, Any]]
"""By name, each file's `bytes` and `sha256`."""


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
            if sum(about["bytes"] for about in files.values()) > most:
                raise tarfile.ReadError(f"it unpacks to more than {most:,} bytes")
            text = _read_description(path, archive, next(found, None), files)
            about = _check_contents(path, text, files)
            folder = into or _configured_folder(path, about)
            _check_owner(folder, files)
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as name:
                (Path(name) / artifacts.EXPERIMENT).write_bytes(text)
                others = {name: f for name, f in files.items() if name != artifacts.EXPERIMENT}
                _extract(path, archive, found, others, Path(name))
                _put(Path(name), folder, files)
    except DAMAGED as error:
        raise UserError(f"{path} is damaged or no bundle ({error}); fetch it again") from error
    return folder


def _read_manifest(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> Files:
    """The files that a bundle's manifest names."""
    if member is None or member.name != MANIFEST or not is_plain_file(member):
        raise UserError(f"{path} is no bundle: it does not begin with a {MANIFEST}")
    text = _read_text(path, archive, member)
    try:
        manifest = json.loads(text)
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
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(
        isinstance(about, dict)
        and type(about.get("bytes")) is int
        and about["bytes"] >= 0
        and isinstance(about.get("sha256"), str)
        for about in files.values()
    ):
        raise UserError(f"{path}: its {MANIFEST} does not list files as a bundle's does")
    for name in files:
        if not _is_below(name):
            raise UserError(
                f"{path} names a file outside of its folder: {name!r}; nothing was restored"
            )
    return files


def _read_text(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """A member that is read whole, if it is not too large for that."""
    if member.size > LARGEST_TEXT:
        raise UserError(
            f"{path}: its {member.name} has {member.size:,} bytes, more than any bundle's"
        )
    content = archive.extractfile(member)
    return content.read() if content else b""


def _read_description(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None, files: Files
) -> bytes:
    """The experiment's description, checked against the manifest."""
    name = artifacts.EXPERIMENT
    if name not in files or member is None or member.name != name or not is_plain_file(member):
        raise UserError(f"{path} has no {name} after its {MANIFEST}; fetch it again")
    text = _read_text(path, archive, member)
    _check_digest(path, name, hashlib.sha256(text).hexdigest(), files)
    return text


def _check_contents(path: Path, text: bytes, files: Files) -> Description:
    """The description; UserError when the bundle holds a file that it does not ask for."""
    try:
        about: Description = json.loads(text)
        expected = {artifacts.EXPERIMENT, *contents(about, weights=True, optional=True)}
        folders = [(run["folder"], _run_folder(run)) for run in about["runs"]]
    except Exception as error:
        # Whatever the figures of a made-up experiment lead to.
        raise UserError(
            f"{path}: its {artifacts.EXPERIMENT} is not one of this version ({fpa.__version__})"
        ) from error
    for found, computed in folders:
        if found != computed:
            raise UserError(f"{path}: its {artifacts.EXPERIMENT} has a run in {found!r}")
    for name in files:
        if name not in expected or not name.startswith((artifacts.EXPERIMENT, *IN_FOLDERS)):
            raise UserError(
                f"{path} holds {name!r}, which is no file of its experiment; nothing was restored "
                "(if the experiment uses plugins, they are needed here too)"
            )
    return about


def _run_folder(run: Mapping[str, Any]) -> str:
    """Where a run of a description has to lie."""
    name = artifacts.run_name(run["seed"], run["digest"])
    return artifacts.run_folder(run["dataset"], run["model"], name)


def _configured_folder(path: Path, about: Description) -> Path:
    """The results folder of the configuration, where that is safe to write to."""
    config = about.get("config")
    found = (config.get("results") if isinstance(config, dict) else None) or (
        f"results/{about.get('experiment')}"
    )
    if not (
        isinstance(found, str)
        and _is_below(found)
        and PurePosixPath(found).parts[:1] == ("results",)
    ):
        raise UserError(
            f"{path} was made from {found}, which is not below a folder 'results' here; name a "
            "folder for it by --into"
        )
    return Path(found)


def _is_below(name: str) -> bool:
    """Whether a path is plainly below the folder that it is taken from, and can be printed."""
    pure = PurePosixPath(name)
    plain = str(pure) == name and name.isprintable()
    return plain and not (pure.is_absolute() or ".." in pure.parts)


def _check_owner(folder: Path, files: Files) -> None:
    """UserError when the folder has something else in it than results of this experiment."""
    owner = folder / artifacts.EXPERIMENT
    if not owner.exists() and folder.is_dir():
        others = [p for p in folder.iterdir() if not p.name.startswith(SCRATCH)]
        if others:
            raise UserError(
                f"{folder} is neither empty nor has results of this experiment; name another "
                "folder by --into"
            )
    if owner.exists() and file_digest(owner) != files[artifacts.EXPERIMENT]["sha256"]:
        raise UserError(
            f"{folder} has results of another experiment ({_owner(owner)}); "
            "name another folder by --into"
        )


def _owner(path: Path) -> object:
    """The experiment that a description is of."""
    about = read_json(path)
    return about.get("experiment") if isinstance(about, dict) else None


def _check_digest(path: Path, name: str, found: str, files: Files) -> None:
    expected = files[name]["sha256"]
    if found != expected:
        raise UserError(
            f"{path}: {name} has SHA-256 {found[:12]}..., expected {expected[:12]}...; the bundle "
            "is damaged, fetch it again"
        )


def _extract(
    path: Path,
    archive: tarfile.TarFile,
    members: Iterator[tarfile.TarInfo],
    files: Files,
    folder: Path,
) -> None:
    """Write the files to a folder, each checked against the manifest."""
    left = dict(files)
    for member in members:
        expected = left.pop(member.name, None)
        if expected is None:
            raise UserError(f"{path} holds {member.name!r}, which its {MANIFEST} does not name")
        if not is_plain_file(member) or member.size != expected["bytes"]:
            raise UserError(f"{path}: {member.name} is not the file that its {MANIFEST} names")
        target = folder / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        content = archive.extractfile(member)
        assert content is not None, "a regular file"
        try:
            # "x": where case makes no difference, no file replaces another.
            with open(target, "xb") as file:
                found = _copy(content, file)
        except FileExistsError as error:
            raise UserError(
                f"{path} holds {member.name} twice but for upper and lower case, which this disk "
                "does not tell apart"
            ) from error
        _check_digest(path, member.name, found, files)
    if left:
        raise UserError(f"{path} lacks {len(left)} files, the first is {min(left)}; fetch it again")


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy all bytes; their SHA-256 (hex)."""
    found = hashlib.sha256()
    while block := source.read(1 << 20):
        found.update(block)
        target.write(block)
    return found.hexdigest()


def _put(source: Path, folder: Path, files: Files) -> None:
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
