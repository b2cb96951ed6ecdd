"""Fast weight painters and the networks they train with.

Configurations name `fpa.models:FPA` and `fpa.models:FPAUNet`. Both are loaded when they are first
asked for, so that planning an experiment imports no torch.
"""

from __future__ import annotations

import typing

CLASSES = ("FPA", "FPAUNet")


def __getattr__(name: str) -> typing.Any:
    if name in CLASSES:
        from fpa.models import painters

        return getattr(painters, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *CLASSES]
