"""Fast weight painters and the networks they train with.

Configurations name `fpa.models:FPA` and `fpa.models:FPAUNet`. Both are imported when they are first
used, so that planning an experiment imports no torch.
"""

from fpa.models.declaration import Declaration, lazily
from fpa.models.settings import FPASettings, FPAUNetSettings

MODELS = {
    "FPA": Declaration("fpa.models.painters:FPA", FPASettings, data_parallel=True, paints=True),
    "FPAUNet": Declaration(
        "fpa.models.painters:FPAUNet",
        FPAUNetSettings,
        data_parallel=True,
        paints=True,
        needs_base=True,
    ),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
