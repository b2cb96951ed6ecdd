"""The images of a source, in an order and under names that do not depend on its kind."""

import os
import re
from dataclasses import dataclass

from fpa.core.errors import UserError
from fpa.data.readers.base import LARGEST_FILE, Found, Reader

IMAGE_SUFFIXES = frozenset("bmp gif jfif jpe jpeg jpg pbm pgm png ppm tif tiff webp".split())
ODD = re.compile(r"(^|/)[./]|__MACOSX")
"""Names that need a closer look: few do, and there may be a million."""
HIDDEN = re.compile(r"(^|/)(\.(?!\./)|__MACOSX/)")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CLIMBING = re.compile(r"^/|(^|/)\.\.(/|$)")


@dataclass(frozen=True)
class Listing:
    """The images of a source, in the order of their names, and its other files."""

    images: list[Found]
    """Their names are relative to the folder that holds them all. Some may have a problem."""
    ignored: list[Found]
    """Files that are no images by their names."""


def list_images(reader: Reader, folders: tuple[str, ...] = ("",)) -> Listing:
    """The images of a source, in an order and under names that do not depend on its kind.

    folders: where to look; the first of these that holds images is read ("" for anywhere).
    UserError when none does.
    """
    candidates: list[Found] = []
    ignored: list[Found] = []
    for found in reader.list():
        if ODD.search(found.name) or not (found.name.isascii() and found.name.isprintable()):
            found = found._replace(name=_tidy(found.name))
        problem = "" if reader.only_images else _no_image(found.name)
        if problem:
            ignored.append(found._replace(problem=problem))
        else:
            candidates.append(found)
    images: list[Found] = []
    for folder in folders:
        images = [f for f in candidates if not folder or _lies_in(f.name, folder, reader.root)]
        if images:
            break
    if not images:
        raise UserError(_nothing_found(reader, folders, candidates, ignored))
    return Listing(_name_and_check(images), ignored)


def _tidy(name: str) -> str:
    """The name without empty and '.' parts; a leading '/' and '..' stay and are found later.

    Bytes that are not UTF-8 and control characters are escaped, so that the name can be printed and
    stored, in one line.
    """
    name = name.encode(errors="backslashreplace").decode()
    name = CONTROLS.sub(lambda found: ascii(found[0])[1:-1], name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _no_image(name: str) -> str:
    if ODD.search(name) and HIDDEN.search(name):
        return "hidden file"
    return "" if name.rpartition(".")[2].lower() in IMAGE_SUFFIXES else "no image by its name"


def _lies_in(name: str, folder: str, root: str) -> bool:
    parent = f"{root}/{name}".rpartition("/")[0]
    return f"/{parent}".endswith(f"/{folder}")


def _nothing_found(
    reader: Reader, folders: tuple[str, ...], candidates: list[Found], ignored: list[Found]
) -> str:
    where = str(reader.path or reader.kind)
    if not candidates:
        return f"{where} holds no images ({len(ignored):,} other files)"
    wanted = " or ".join(f"'{folder}'" for folder in folders)
    there = sorted({f.name.rpartition("/")[0] or "." for f in candidates})
    shown = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
    return f"{where} holds no images in a folder {wanted}; found images in: {shown}"


def _name_and_check(images: list[Found]) -> list[Found]:
    """The images sorted by relative name. A name that leads out or comes twice is a problem."""
    climbing = {f.name for f in images if ODD.search(f.name) and CLIMBING.search(f.name)}
    shared = _common_folder([f.name for f in images if f.name not in climbing])
    named: list[Found] = []
    seen: set[str] = set()
    for name, place, size, problem in images:
        if name in climbing:
            problem = "its name leads out of the archive"
        else:
            name = name[len(shared) :]
        if size > LARGEST_FILE:
            problem = problem or f"{size:,} bytes are too many for an image"
        if name in seen:
            problem = problem or "a second file of this name"
        seen.add(name)
        named.append(Found(name, place, size, problem))
    # The sort is stable: of two files of one name the first stays first.
    return sorted(named, key=lambda found: found.name)


def _common_folder(names: list[str]) -> str:
    """The longest 'a/b/' that all names start with."""
    folders = {"/" + name.rpartition("/")[0] for name in names}
    return f"{os.path.commonpath(folders)}/".lstrip("/") if folders else ""
