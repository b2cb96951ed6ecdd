"""Synaptic learning rules: how a sequence of keys and values writes itself into a weight matrix.

A rule is one file with one class (see `base.LearningRule`) and one registration below. Planning
reads the registrations alone; the class, which needs torch, is imported when a painter is built.
"""

from dataclasses import dataclass

from fpa.core.registry import Registry
from fpa.models.part import Part


@dataclass(frozen=True)
class Rule(Part):
    """A learning rule's registration."""

    has_rates: bool = True
    """Whether it uses a learning rate."""
    vector_rates: bool = False
    """Whether it can use one rate for each row of W."""
    several_updates: bool = False
    """Whether a step may make several updates."""
    decays: bool = False
    """Whether earlier updates fade, so that a sum of the first ones is no partial image."""


RULES: Registry[Rule] = Registry("learning rule")
RULES.register("delta", Rule("fpa.models.learning_rules.delta:DeltaRule", vector_rates=True))
RULES.register("additive", Rule("fpa.models.learning_rules.additive:AdditiveRule", has_rates=False))
RULES.register("oja", Rule("fpa.models.learning_rules.oja:OjaRule", vector_rates=True))
RULES.register("gated_delta", Rule("fpa.models.learning_rules.gated:GatedDeltaRule", decays=True))
RULES.register(
    "delta_product",
    Rule(
        "fpa.models.learning_rules.products:DeltaProductRule",
        vector_rates=True,
        several_updates=True,
    ),
)
RULES.register(
    "rank_r_delta",
    Rule("fpa.models.learning_rules.products:RankRDeltaRule", several_updates=True),
)
