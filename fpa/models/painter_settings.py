"""Settings of a painter, and which of its parts go together.

Nothing here imports torch: an experiment is planned, and its mistakes are found, from this module.
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from fpa.core.errors import UserError
from fpa.models.learning_rules import RULES
from fpa.models.programs import INPUTS, SEQUENCES

WITH_HEADS = ("transformer", "rfwp")
"""Sequence networks whose width is split between heads."""


class PainterSettings(BaseModel):
    """Hyperparameters of a painter; the defaults are the paper's main model at 64 x 64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[PositiveInt, Field(description="T, the number of steps")] = 64
    latent_dim: Annotated[PositiveInt, Field(description="L, the size of the latent z")] = 512
    hidden_size: Annotated[
        PositiveInt, Field(description="units of each layer of the sequence network")
    ] = 1024
    layers: Annotated[PositiveInt, Field(description="layers of the sequence network")] = 1
    rule: Annotated[
        str,
        Field(
            description="the learning rule: delta, additive, oja, gated_delta, delta_product, "
            "rank_r_delta"
        ),
    ] = "delta"
    updates: Annotated[
        PositiveInt,
        Field(
            description="rank-1 updates a step: delta_product one after the other, rank_r_delta "
            "all at once"
        ),
    ] = 1
    inputs: Annotated[
        str,
        Field(
            description="input generator: v1 the same latent at every step, v2 one latent a step, "
            "split one piece of the latent a step"
        ),
    ] = "v2"
    sequence: Annotated[str, Field(description="the sequence network: lstm, transformer, rfwp")] = (
        "lstm"
    )
    heads: Annotated[PositiveInt, Field(description="transformer, rfwp: heads of a layer")] = 8
    feedforward_size: Annotated[
        PositiveInt, Field(description="transformer, rfwp: inner width of the feed-forward layers")
    ] = 1024
    mini_latent_dim: Annotated[PositiveInt, Field(description="v2: size of each step's latent")] = 8
    mini_input_size: Annotated[
        PositiveInt, Field(description="v2, split: size of each step's input")
    ] = 128
    mini_tanh: Annotated[bool, Field(description="v2: tanh on the step latents")] = True
    latent_to_state: Annotated[
        bool,
        Field(
            description="v2: the initial state is linear(z), else zero; v1 always has it, split never"
        ),
    ] = True
    position_codes: Annotated[
        bool, Field(description="add a learned code to each step's input")
    ] = False
    wide_dim: Annotated[
        int, Field(ge=0, description="width of a linear + ReLU before the key/value layer; 0: none")
    ] = 0
    softmax_keys: Annotated[bool, Field(description="softmax on the keys")] = True
    tanh_values: Annotated[bool, Field(description="tanh on the values")] = False
    vector_rates: Annotated[
        bool, Field(description="one rate per row of W instead of one a step")
    ] = False
    sigmoid_rates: Annotated[bool, Field(description="sigmoid on the rates")] = True
    learned_initial: Annotated[
        bool, Field(description="W_0 is learned; then the first step uses its rate as well")
    ] = False
    tanh_image: Annotated[bool, Field(description="tanh on the finished image")] = True
    lstm_init_factor: Annotated[
        PositiveFloat, Field(description="factor on the start of the LSTM's weights")
    ] = 1.0
    kvb_init_factor: Annotated[
        PositiveFloat, Field(description="factor on the start of the key/value layer's weights")
    ] = 1.0

    @model_validator(mode="after")
    def _parts_go_together(self) -> "PainterSettings":
        try:
            rule = RULES.get(self.rule)
            INPUTS.get(self.inputs)
            SEQUENCES.get(self.sequence)
        except UserError as error:
            raise ValueError(str(error)) from None
        if self.vector_rates and not rule.vector_rates:
            able = _either(name for name, entry in RULES.items() if entry.vector_rates)
            reason = "has one a step" if rule.has_rates else "has no rates"
            raise ValueError(f"vector_rates needs rule: {able} (the {self.rule} rule {reason})")
        if self.updates > 1 and not rule.several_updates:
            able = _either(name for name, entry in RULES.items() if entry.several_updates)
            raise ValueError(f"updates above 1 needs rule: {able} (a {self.rule} step makes one)")
        if self.inputs == "split" and self.latent_dim % self.steps:
            raise ValueError(
                f"inputs: split cuts the latent into equal pieces, and latent_dim {self.latent_dim} "
                f"is no multiple of steps {self.steps}"
            )
        if self.sequence in WITH_HEADS and self.hidden_size % self.heads:
            raise ValueError(
                f"sequence: {self.sequence} splits its width between heads, and hidden_size "
                f"{self.hidden_size} is no multiple of heads {self.heads}"
            )
        if (self.inputs, self.sequence) == ("v1", "transformer") and not self.position_codes:
            raise ValueError(
                "inputs: v1 gives a transformer the same input at every step, and without "
                "position_codes: true all its steps come out the same"
            )
        if self.lstm_init_factor != 1 and self.sequence != "lstm":
            raise ValueError(f"lstm_init_factor needs sequence: lstm, not {self.sequence}")
        if self.kvb_init_factor != 1 and self.starts_as_torch:
            raise ValueError(
                "kvb_init_factor scales the published start of a key/value layer behind an LSTM; "
                f"with rule: {self.rule} and sequence: {self.sequence} it starts as torch's layers"
            )
        return self

    @property
    def starts_as_torch(self) -> bool:
        """Whether layers around the sequence network start as torch starts them.

        As published for the additive rule, the Transformer and the recurrent fast weights.
        """
        return self.rule == "additive" or self.sequence in WITH_HEADS

    def part_versions(self) -> dict[str, int]:
        """Versions of the parts and options in use, where they are not the first."""
        chosen = {
            f"rule {self.rule}": RULES[self.rule].version,
            f"inputs {self.inputs}": INPUTS[self.inputs].version,
            f"sequence {self.sequence}": SEQUENCES[self.sequence].version,
        }
        # Options whose start differs from version 1's.
        options = {
            "position codes": self.position_codes,
            "learned W_0": self.learned_initial,
            "vector rates": self.vector_rates,
            "additive v1": (self.rule, self.inputs) == ("additive", "v1"),
        }
        chosen |= {name: 2 for name, used in options.items() if used}
        return {name: version for name, version in chosen.items() if version != 1}


def _either(names: Iterable[str]) -> str:
    """a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}"
