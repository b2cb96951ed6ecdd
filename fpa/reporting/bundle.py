"""One file with what an experiment's tables, figures and report are made from, to take elsewhere.

A gzipped tar: `manifest.json` first, which names every other file, its size and its SHA-256; the
same results give the same bytes. Unpacking trusts nothing but that manifest, and not its paths.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fpa
from fpa.common.errors import UserError
from fpa.common.files import atomic_open, canonical_json, file_digest, read_json
from fpa.reporting.catalogue import figures

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 64 << 20
OWNER = "experiment.json"
WEIGHTS = "weights.safetensors"


def contents(about: Mapping[str, Any], weights: bool = False) -> list[str]:
    """What a finished experiment's jobs have made for its bundle, below the results folder."""
    found: set[str] = set()
    first_seed = about["config"]["seeds"][0]
    for run in about["runs"]:
        names = ["run.json", "train.json", "history.csv"]
        names += [f"{protocol['score']}.json" for protocol in about["protocols"]]
        names += ["cost.json"] * (run["seed"] == first_seed) + [WEIGHTS] * weights
        found |= {f"{run['folder']}/{name}" for name in names}
    for spec in figures(about).values():
        # Tables are made again from the scores.
        found |= {part.path for part in spec.inputs if not part.path.startswith("tables/")}
    return sorted(found)


def pack(results: Path, out: Path, weights: bool = False) -> int:
    """Write the bundle of a finished experiment; its number of files. UserError if one is missing."""
    about = read_json(results / OWNER, made_by="python -m fpa plan --write")
    names = [OWNER, *contents(about, weights)]
    missing = [name for name in names if not (results / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} files are not in {results}, the first is {missing[0]}; "
            "finish the experiment first"
        )
    manifest = {
        "format": FORMAT,
        "fpa": fpa.__version__,
        "experiment": about["experiment"],
        "results": about["config"]["results"] or f"results/{about['experiment']}",
        "files": {
            name: {"bytes": (results / name).stat().st_size, "sha256": file_digest(results / name)}
            for name in names
        },
    }
    with (
        atomic_open(out) as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        text = canonical_json(manifest).encode()
        archive.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        for name in names:
            with open(results / name, "rb") as content:
                archive.addfile(_member(name, manifest["files"][name]["bytes"]), content)
    return len(names)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Name and size alone: no owner, no time."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def unpack(path: Path, into: Path | None = None) -> Path:
    """Restore a bundle's files, all or none; the folder. UserError when anything is not as it says.

    Without `into`, the folder below the current one that the experiment's configuration names.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = iter(archive)
            manifest = _read_manifest(path, archive, next(members, None))
            folder = into or Path(manifest["results"])
            if into is None and not _below(manifest["results"]):
                raise UserError(
                    f"{path} was made from {manifest['results']}, which is not below a current "
                    "folder; name a folder for it by --into"
                )
            _check_owner(folder, manifest)
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as name:
                _extract(path, archive, members, manifest["files"], Path(name))
                _put(Path(name), folder, manifest["files"])
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or no bundle ({error}); fetch it again") from error
    return folder


def _read_manifest(
    path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None
) -> dict[str, Any]:
    if member is None or member.name != MANIFEST or not member.isreg():
        raise UserError(f"{path} is no bundle: it does not begin with a {MANIFEST}")
    if member.size > LARGEST_MANIFEST:
        raise UserError(f"{path}: its {MANIFEST} has {member.size:,} bytes, which none has")
    text = archive.extractfile(member).read()
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: its {MANIFEST} is not valid JSON") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path} has bundle format {found}, this version ({fpa.__version__}) reads {FORMAT}; "
            f"use the version that wrote it{_version(manifest)}"
        )
    files = manifest.get("files")
    whole = isinstance(files, dict) and all(
        isinstance(about, dict)
        and isinstance(about.get("bytes"), int)
        and isinstance(about.get("sha256"), str)
        for about in files.values()
    )
    if not whole or not all(isinstance(manifest.get(k), str) for k in ("experiment", "results")):
        raise UserError(f"{path}: its {MANIFEST} does not say what a bundle's says")
    for name in files:
        if not _below(name):
            raise UserError(
                f"{path} names a file outside of its folder: {name!r}; nothing was restored"
            )
    return manifest


def _version(manifest: Any) -> str:
    found = manifest.get("fpa") if isinstance(manifest, dict) else None
    return f" ({found})" if isinstance(found, str) else ""


def _below(name: str) -> bool:
    """Whether a path is plainly below the folder that it is taken from."""
    pure = PurePosixPath(name)
    return not (pure.is_absolute() or ".." in pure.parts or str(pure) != name or "\0" in name)


def _check_owner(folder: Path, manifest: Mapping[str, Any]) -> None:
    owner = folder / OWNER
    ours = manifest["files"].get(OWNER, {}).get("sha256")
    if owner.exists() and file_digest(owner) != ours:
        raise UserError(
            f"{folder} holds results of its own ({read_json(owner).get('experiment')}); "
            "name another folder by --into"
        )


def _extract(
    path: Path,
    archive: tarfile.TarFile,
    members: Iterator[tarfile.TarInfo],
    files: Mapping[str, Mapping[str, Any]],
    folder: Path,
) -> None:
    """Write the files, each as the manifest has it, to a folder."""
    left = dict(files)
    for member in members:
        expected = left.pop(member.name, None)
        if expected is None:
            raise UserError(f"{path} holds {member.name!r}, which its {MANIFEST} does not name")
        if not member.isreg() or member.size != expected["bytes"]:
            raise UserError(f"{path}: {member.name} is not the file that its {MANIFEST} names")
        target = folder / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as file:
            found = _copy(archive.extractfile(member), file)
        if found != expected["sha256"]:
            raise UserError(
                f"{path}: {member.name} has SHA-256 {found[:12]}..., expected "
                f"{expected['sha256'][:12]}...; the bundle is damaged, fetch it again"
            )
    if left:
        raise UserError(f"{path} lacks {len(left)} files, the first is {min(left)}; fetch it again")


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy all bytes; their SHA-256 (hex)."""
    found = hashlib.sha256()
    while block := source.read(1 << 20):
        found.update(block)
        target.write(block)
    return found.hexdigest()


def _put(source: Path, folder: Path, files: Mapping[str, Any]) -> None:
    """Move the files to their places; the experiment's own description last."""
    inside = folder.resolve()
    for name in files:
        if not (folder / name).resolve().is_relative_to(inside):
            raise UserError(f"{folder / name} leads out of {folder} by a link; remove the link")
    # One time for all, so that none seems to be older than what it was made from.
    now = time.time()
    for name in sorted(files, key=lambda name: name == OWNER):
        os.utime(source / name, (now, now))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, folder / name)
