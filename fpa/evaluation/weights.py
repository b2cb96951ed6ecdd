"""Where Inception's weights lie on this machine. Needs no torch, so that planning can ask."""

import os
import tempfile
from pathlib import Path

INCEPTION = {
    "torchscript": ("inception-2015-12-05.pt",),
    "state_dict": (
        "pt_inception-2015-12-05-6726825d.pth",
        "weights-inception-2015-12-05-6726825d.pth",
    ),
}
"""Official names of the published files by format, the first one for a download."""


def found(kind: str, configured: str | None, folder: Path) -> list[Path]:
    """Files of a format: in the configured folder, if there is one, else in `folder` and the usual caches."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    torch_cache = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    places = [
        folder,
        Path(tempfile.gettempdir()),
        cache / "clean-fid",
        torch_cache / "hub/checkpoints",
    ]
    if configured:
        places = [Path(configured).expanduser()]
    paths = (place / name for place in places for name in INCEPTION[kind])
    return [path for path in paths if path.is_file()]
