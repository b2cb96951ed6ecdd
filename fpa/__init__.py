"""Fast Weight Painters: images as weight matrices, reproduced and measured.

The names below are for use as a library; everything else is the project's own business:

    import fpa

    model = fpa.load("results/runs/digits/fpa/seed0-0123456789")   # a run's or an export's folder
    images = fpa.paint(model, 16, seed=0)                          # uint8 (16, C, H, W)
    distance = fpa.frechet_distance(real_features, fake_features)  # two arrays (N, d)
    score = fpa.evaluate("my-images/", "real-images/", "quick")    # FID, KID, precision, recall
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from fpa.library import evaluate, frechet_distance, load, paint
    from fpa.models.painter import Painter
    from fpa.models.settings import PainterSettings

_HOMES = {
    "Painter": "fpa.models.painter",
    "PainterSettings": "fpa.models.settings",
    **dict.fromkeys(("evaluate", "frechet_distance", "load", "paint"), "fpa.library"),
}

__all__ = [
    "__version__",
    *_HOMES,
    "evaluate",
    "frechet_distance",
    "load",
    "paint",
    "Painter",
    "PainterSettings",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fpa' has no attribute {name!r}")
