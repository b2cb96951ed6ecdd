"""A prepared data set for a person: its manifest as text, its images on a contact sheet."""

from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngInfo

from fpa.core.files import atomic_path
from fpa.data.picture import tiled_picture
from fpa.data.readers import in_words
from fpa.data.sources import SOURCES
from fpa.data.store import Manifest

SHEET_WIDTH = 1100
"""Pixels, about: small images are enlarged by whole factors up to it."""
SHOWN = 5
"""Entries of a long list that are printed."""


def describe(manifest: Manifest, folder: Path) -> str:
    """The manifest as aligned lines."""
    dataset, source = manifest.dataset, manifest.source
    known = SOURCES[dataset.source]
    size = "" if source.bytes is None else f", {source.bytes:,} bytes"
    file = "" if source.file is None else f" {source.file}"
    same = manifest.duplicates
    lines = {
        dataset.name: known.description,
        "images": f"{manifest.count:,} of {dataset.channels} x {dataset.resolution} x "
        f"{dataset.resolution}, uint8",
        "resize": f"{dataset.filter}, short side to size, centre crop",
        "source": f"{source.kind}{file}{size}",
        "source digest": source.files_sha256,
        "images digest": manifest.images_sha256,
        "duplicates": f"{same.images:,} exact ({same.files:,} as files)",
        "unreadable": f"{len(manifest.unreadable):,} left out",
        "ignored": f"{len(manifest.ignored):,} files that are no images",
        "not taken": in_words(manifest.not_taken),
        "names": f"{manifest.names[0]} ... {manifest.names[-1]}",
        "licence": known.licence,
        "cite": known.citation,
        "made with": ", ".join(f"{name} {v}" for name, v in manifest.versions.items()),
        "folder": str(folder),
    }
    details = {
        "duplicates": [" = ".join(group) for group in same.groups],
        "unreadable": [f"{e.name}: {e.reason}" for e in manifest.unreadable],
        "ignored": [f"{e.name}: {e.reason}" for e in manifest.ignored],
    }
    text = []
    for key, line in lines.items():
        if line:
            text.append(f"{key:<14} {line}")
            entries = details.get(key, [])
            text += [f"{'':<14}   {entry}" for entry in entries[:SHOWN]]
            if len(entries) > SHOWN:
                text.append(f"{'':<14}   and {len(entries) - SHOWN:,} more")
    return "\n".join(text)


def contact_sheet(images: np.ndarray, count: int, path: Path) -> None:
    """Write `count` images (N, C, H, W), evenly spread over the data set, as one PNG."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))
    columns = max(1, round(len(chosen) ** 0.5))
    factor = max(1, SHEET_WIDTH // (columns * (images.shape[3] + 1)))
    sheet = tiled_picture(images[chosen], columns, factor)
    about = PngInfo()
    # By this the command line knows a sheet that it may make again (fpa.cli.kinds).
    about.add_text("Software", "fpa")
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=about)
