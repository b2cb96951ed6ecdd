"""Fast weight painters and the networks they train with.

Configurations name `fpa.models:FPA` and `fpa.models:FPAUNet`. Both, and the networks that a painter's
settings name, are imported when they are first used, so that planning an experiment imports no torch.
"""

from fpa.core.lazy import LazyModule
from fpa.models import learning_rules as learning_rules  # registers the rules
from fpa.models.loading import Declaration, lazily
from fpa.models.parts import INPUTS, SEQUENCES, Part

_painters, _programs = LazyModule("fpa.models.fpa"), LazyModule("fpa.models.programs")

INPUTS.register("v1", Part(lambda: _programs.InputsV1))
INPUTS.register("v2", Part(lambda: _programs.InputsV2))
INPUTS.register("split", Part(lambda: _programs.InputsSplit))

SEQUENCES.register("lstm", Part(lambda: _programs.LSTM))
SEQUENCES.register("transformer", Part(lambda: _programs.Transformer))
SEQUENCES.register("rfwp", Part(lambda: _programs.RFWP))

# The default settings name parts, which are registered by now.
from fpa.models.settings import FPASettings, FPAUNetSettings  # noqa: E402

MODELS = {
    "FPA": Declaration(
        lambda: _painters.FPA,
        FPASettings,
        data_parallel=True,
        paints=True,
        # A hinge of 1 for real and for generated images, each for two logits; pooled: for all images at once.
        blind_loss=lambda settings: 2.0 if settings.partial_images > 1 else 4.0,
    ),
    "FPAUNet": Declaration(
        lambda: _painters.FPAUNet,
        FPAUNetSettings,
        data_parallel=True,
        paints=True,
        needs_base=True,
        blind_loss=lambda settings: 2.0,
    ),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
