"""One file with what an experiment's tables, figures and report are made from, to take elsewhere.

A gzipped tar: first `manifest.json`, which names every other file, its size and its SHA-256, then
the experiment's description; the same results give the same bytes. Unpacking restores the files
that the description asks for, in the folders of an experiment's runs and real samples, no others.
"""

import gzip
import io
import tarfile
from pathlib import Path

import fpa
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import atomic_open, canonical_json, file_digest
from fpa.reporting.description import Description, read_description, score_file
from fpa.reporting.figures import figures
from fpa.reporting.player import played_files

FORMAT = 2
MANIFEST = "manifest.json"
IN_FOLDERS = ("runs/", "real/")
"""Where the files of a bundle lie, below the results folder."""


def contents(about: Description, weights: bool = False, optional: bool = False) -> list[str]:
    """The files of a finished experiment's bundle, below the results folder.

    optional: also those that it may lack.
    """
    found: set[str] = set()
    first_seed = about["config"]["seeds"][0]
    for run in about["runs"]:
        names = [artifacts.RUN, artifacts.SUMMARY, artifacts.HISTORY]
        names += [score_file(protocol) for protocol in about["protocols"]]
        names += [artifacts.COST] * (run["seed"] == first_seed) + [artifacts.WEIGHTS] * weights
        found |= {f"{run['folder']}/{name}" for name in names}
    specs = figures(about)
    found |= set(played_files(about, specs))
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
    about = read_description(results)
    needed = {artifacts.EXPERIMENT, *contents(about, weights)}
    # The description comes first, right after the manifest.
    names = [artifacts.EXPERIMENT, *contents(about, weights, optional=True)]
    names = [name for name in names if name in needed or (results / name).is_file()]
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
