"""Weights on disk: found once, described in a file, checked whenever they are used."""

from pathlib import Path
from typing import Any

from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_json, write_json
from fpa.evaluation.extractors.base import find_extractor

KEYS = {"name", "network", "input_size", "features", "weights"}
"""Of a description."""


def obtain(name: str, configured: str | None, out: Path) -> dict[str, Any]:
    """Find (or download) an extractor's weights, check them, and describe them in `out` (JSON).

    configured: the user's folder of weights, if any. Downloads go beside `out`.
    """
    network, size = find_extractor(name, "extractor")
    about = {
        "name": name,
        "network": network.name,
        "input_size": size,
        "features": network.features,
        "weights": {
            kind: {"path": str(path.resolve()), "sha256": file_digest(path)}
            for kind, path in network.obtain(configured, out.parent).items()
        },
    }
    write_json(out, about)
    return about


def read_about(path: str | Path) -> dict[str, Any]:
    """What `obtain` wrote; UserError when it is missing or of another version of this code."""
    about = read_json(path, made_by="python -m fpa extractor")
    if not (
        isinstance(about, dict) and about.keys() >= KEYS and isinstance(about["weights"], dict)
    ):
        raise UserError(f"{path} is of another version of this code; delete it and run again")
    return about


def weights_path(about: dict[str, Any], about_path: str | Path, kind: str) -> Path:
    """An extractor's weights in one format; UserError when the file is missing or was changed."""
    weights = about["weights"].get(kind, {})
    path = Path(str(weights.get("path")))
    if not path.is_file() or file_digest(path) != weights.get("sha256"):
        raise UserError(
            f"{path}, the weights of {about['name']}, is missing or was changed; "
            f"delete {about_path} and run again"
        )
    return path
