"""The resumable state of a training: its two newest checkpoints."""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from fpa.core.errors import UserError, one_line
from fpa.core.files import write_bytes
from fpa.core.progress import log

KEEP = 2


def save(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a checkpoint whole, then drop all but the newest two."""
    # Through memory: torch's own writer turns a full disk into an unreadable error.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(folder / f"step-{step:09d}.pt", buffer.getbuffer())
    for old in _newest_first(folder)[KEEP:]:
        old.unlink()


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, None if there is none at all.

    Raises UserError when there are checkpoints and none of them can be read.
    """
    paths = _newest_first(folder)
    for path in paths:
        try:
            _check_sums(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict):
                raise TypeError("it does not hold the state of a training")
            return state
        except Exception as error:
            # torch raises half a dozen types for a damaged archive.
            log.warning("%s cannot be read (%s); trying the one before", path, one_line(error))
    if paths:
        raise UserError(f"no checkpoint in {folder} can be read; delete the folder to train afresh")
    return None


def _check_sums(path: Path) -> None:
    """Compare the file's content with the CRC-32s in it, which torch writes but does not read.

    torch compresses nothing: what unpacks to more than the file's size is no checkpoint.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise zipfile.BadZipFile("its parts are larger than the file")
        if (part := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{part} is damaged")


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), reverse=True)
