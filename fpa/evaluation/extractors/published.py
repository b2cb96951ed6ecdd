"""Published files of weights: the user's own, else one in the usual caches, else a download.

A file counts only if its whole SHA-256 is the published one. Nothing in it is read before that.
"""

import os
from pathlib import Path
from typing import NamedTuple

from fpa.core.errors import UserError
from fpa.core.files import file_digest


class Published(NamedTuple):
    """A published file of weights."""

    names: tuple[str, ...]
    """What it is called, the first one for a download; other libraries cache it under others."""
    sha256: str
    url: str

    @property
    def name(self) -> str:
        return self.names[0]


def find(file: Published, configured: str | None, folder: Path) -> list[Path]:
    """Files of its names: the configured one, then those in `folder` and the caches of torch and
    CLIP. configured: a user's folder of weights, or the file itself."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    torch_cache = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    places = [folder, torch_cache / "hub" / "checkpoints", cache / "clip"]
    found = []
    if configured:
        given = Path(configured).expanduser()
        places.insert(0, given)
        found = [given] if given.is_file() else []
    return found + [p for place in places for name in file.names if (p := place / name).is_file()]


def obtain(file: Published, configured: str | None, folder: Path) -> Path:
    """The first of these files that is the published one, else a download to `folder`.

    UserError for a user's own file of its name that is another, and where it cannot be downloaded.
    """
    from fpa.data.download import fetch

    for path in find(file, configured, folder):
        if file_digest(path) == file.sha256:
            return path
        if configured and path.is_relative_to(Path(configured).expanduser()):
            check(path, file)
    try:
        fetch(file.url, folder / file.name, sha256=file.sha256)
    except UserError as error:
        raise UserError(
            f"{error}; or put {file.name} into a folder and name that as the weights' folder, or "
            "choose the protocol quick, which needs no download"
        ) from error
    return folder / file.name


def check(path: Path, file: Published) -> None:
    """UserError unless a file is the published one."""
    found = file_digest(path)
    if found != file.sha256:
        raise UserError(
            f"{path} has SHA-256 {found[:12]}..., expected {file.sha256[:12]}...; "
            f"fetch it again from {file.url}"
        )


def missing(file: Published, configured: str | None, folder: Path) -> list[str]:
    """Its name, if it is nowhere on this machine."""
    return [] if find(file, configured, folder) else [file.name]
