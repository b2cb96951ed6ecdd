"""Programs: what makes raw keys, values and rates of a latent.

A program has two exchangeable parts, each one file with one class and one registration below: an
input generator, which turns the latent into one input a step, and a sequence network. Planning
reads the registrations alone; the classes, which need torch, are imported when a painter is built.
"""

from fpa.core.registry import Registry
from fpa.models.part import Part

INPUTS: Registry[Part] = Registry("input generator")
INPUTS.register("v1", Part("fpa.models.programs.v1:InputsV1"))
INPUTS.register("v2", Part("fpa.models.programs.v2:InputsV2"))
INPUTS.register("split", Part("fpa.models.programs.split:InputsSplit"))

SEQUENCES: Registry[Part] = Registry("sequence network")
SEQUENCES.register("lstm", Part("fpa.models.programs.lstm:LSTM"))
SEQUENCES.register("transformer", Part("fpa.models.programs.transformer:Transformer"))
SEQUENCES.register("rfwp", Part("fpa.models.programs.rfwp:RFWP"))
