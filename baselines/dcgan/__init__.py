"""DCGAN; `model.py` is the example to start a model of your own from.

The declaration below is optional: with it, planning an experiment does not import the model.
"""

from baselines.dcgan.settings import DCGANSettings
from fpa.models.declaration import Declaration, lazily

MODELS = {
    "DCGAN": Declaration("baselines.dcgan.model:DCGAN", DCGANSettings, data_parallel=True),
}
__getattr__, __dir__ = lazily(__name__, MODELS)
