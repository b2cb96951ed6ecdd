"""The public code's `args.txt` as the settings of our models.

A run of the public code leaves its command-line arguments as a JSON object. What is missing there has the
default of that command line. Arguments that its model does not use are ignored, as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fpa.core.errors import UserError, did_you_mean
from fpa.models.settings import FPASettings, FPAUNetSettings

DEFAULTS: dict[str, Any] = {
    "image_size": 64,
    "greyscale": False,
    "transparent": False,
    "latent_dim": 256,
    "rnn_hidden_size": 512,
    "num_layers": 1,
    "num_decoding_steps": 64,
    "mini_latent_dim": 8,
    "mini_input_size": 128,
    "wide_out_dim": 0,
    "num_heads": 8,
    "ff_dim": 1024,
    "max_unet_dim": 4,
    "fmap_max": 512,
    "use_softmax": False,
    "out_tanh": False,
    "unet_tanh": False,
    "use_pos_enc": False,
    "use_learned_init": False,
    "use_latent_to_init": False,
    "v2_input_sigmoid": False,
    "val_tanh": False,
    "vect_lr": False,
    "no_sigmoid_lr": False,
    "use_intermed_loss": 1,
    "scale_intermed_loss": False,
    "frozen_base": False,
    "stop_grad_unet": False,
    "pre_unet_loss": False,
    "batch_size": 10,
    "grad_cummulate_every": 4,
    "num_train_steps": 150_000,
    "learning_rate": 2e-4,
    "ttur_mult": 1.0,
    "unet_lr": 2e-4,
    "aug_prob": 0.0,
    "rnn_init_fact": 1.0,
    "kvb_init_fact": 1.0,
    "clip": 0.0,
    "clip_rnn": 0.0,
    "dropout": 0.0,
    "seed": 1,
}
"""Arguments that matter here, with the public command line's defaults."""

OPTIONS = {
    "num_decoding_steps": "steps",
    "latent_dim": "latent_dim",
    "rnn_hidden_size": "hidden_size",
    "num_layers": "layers",
    "out_tanh": "tanh_image",
    "use_pos_enc": "position_codes",
    "use_softmax": "softmax_keys",
    "mini_latent_dim": "mini_latent_dim",
    "mini_input_size": "mini_input_size",
    "v2_input_sigmoid": "mini_tanh",
    "use_latent_to_init": "latent_to_state",
    "val_tanh": "tanh_values",
    "vect_lr": "vector_rates",
    "wide_out_dim": "wide_dim",
    "use_learned_init": "learned_initial",
    "num_heads": "heads",
    "ff_dim": "feedforward_size",
    "rnn_init_fact": "lstm_init_factor",
    "kvb_init_fact": "kvb_init_factor",
}
"""Arguments of painters that are settings under another name."""
ALWAYS = ("num_decoding_steps", "latent_dim", "rnn_hidden_size", "num_layers", "out_tanh")
COMMON = ("use_pos_enc", "use_softmax", "no_sigmoid_lr")
INIT = ("rnn_init_fact", "kvb_init_fact")
V2 = ("mini_latent_dim", "mini_input_size", "v2_input_sigmoid", "val_tanh", "vect_lr")
HEADS = ("num_heads", "ff_dim")
OFF = {"softmax_keys": False, "mini_tanh": False, "latent_to_state": False}
"""Settings that are on by default here, and that a published painter has only by an argument."""


@dataclass(frozen=True)
class Kind:
    """A `model_type` of the public code."""

    parts: Mapping[str, str]
    """Rule, input generator and sequence network, where they are not the defaults."""
    uses: tuple[str, ...]
    """Arguments that its painter takes, besides ALWAYS."""
    unet: bool = False
    partial: bool = False
    """Whether it can be trained on partial images."""


DELTA = Kind({"inputs": "v1"}, (*COMMON, *INIT, "val_tanh", "vect_lr", "use_learned_init"))
KINDS = {
    "lstm_delta": Kind(DELTA.parts, (*DELTA.uses, "wide_out_dim"), partial=True),
    "lstm_delta_unet": Kind(DELTA.parts, (*COMMON, *INIT, "use_learned_init"), unet=True),
    "lstm_delta_split_v2": Kind(
        {}, (*COMMON, *INIT, *V2, "use_latent_to_init", "wide_out_dim"), partial=True
    ),
    "lstm_delta_split_v2_unet": Kind({}, (*COMMON, *INIT, *V2, "use_latent_to_init"), unet=True),
    "lstm_sum": Kind({"rule": "additive", "inputs": "v1"}, ("use_pos_enc",)),
    "lstm_delta_split": Kind({"inputs": "split"}, (*COMMON, *INIT, "mini_input_size")),
    "lstm_delta_split_unet": Kind(
        {"inputs": "split"}, (*COMMON, *INIT, "mini_input_size"), unet=True
    ),
    "lstm_oja_split_v2": Kind({"rule": "oja"}, (*COMMON, *INIT, *V2, "wide_out_dim"), partial=True),
    "trafo_delta_split": Kind({"inputs": "split", "sequence": "transformer"}, (*COMMON, *HEADS)),
    "rfwp_delta": Kind({"inputs": "v1", "sequence": "rfwp"}, (*COMMON, *HEADS, "use_learned_init")),
}
BASE = "base"
"""The `model_type` of LightGAN."""


@dataclass(frozen=True)
class Imported:
    """What a published run is here."""

    kind: str
    model: str
    """The class, as package.module:Class."""
    settings: dict[str, Any]
    image_size: int
    channels: int
    batch_size: int
    """Images of one step, of all its passes."""
    steps: int
    """Steps that were asked for."""
    seed: int
    base: dict[str, Any] | None = None
    """Settings of the FPA that a U-Net refines."""
    not_taken: tuple[str, ...] = ()
    """Arguments of its training that this project has no setting for."""


def read(args: Mapping[str, Any], where: str) -> Imported:
    """The settings of a published run; UserError, beginning with `where`, when it is none."""
    kind = args.get("model_type")
    known = [BASE, *KINDS]
    if kind not in known:
        near = did_you_mean(str(kind), known)
        raise UserError(f"{where}: model_type is {kind!r}, expected a published model's{near}")
    given = {name: _same_type(args, name, default, where) for name, default in DEFAULTS.items()}
    if given["transparent"]:
        raise UserError(f"{where}: transparent images (4 channels) are not supported")
    recipe = {
        "learning_rate": given["learning_rate"],
        "discriminator_rate_factor": given["ttur_mult"],
        "augment_probability": given["aug_prob"],
        "accumulation": given["grad_cummulate_every"],
    }
    if kind == BASE:
        sizes = {"fmap_max": given["fmap_max"]}
        model, base = "baselines.lightgan:LightGAN", None
        settings: dict[str, Any] = {
            "generator": {"latent_dim": given["latent_dim"], **sizes},
            "discriminator": sizes,
            "recipe": recipe,
        }
    else:
        model, settings, base = _painter(KINDS[kind], given, recipe, where)
    return Imported(
        kind,
        model,
        settings,
        given["image_size"],
        1 if given["greyscale"] else 3,
        given["batch_size"] * given["grad_cummulate_every"],
        given["num_train_steps"],
        given["seed"],
        base,
        tuple(name for name in ("clip", "clip_rnn", "dropout") if given[name]),
    )


def _painter(
    kind: Kind, given: Mapping[str, Any], recipe: dict[str, Any], where: str
) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    """Class, settings, and settings of the base."""
    painter = {**OFF, **kind.parts}
    painter |= {OPTIONS[name]: given[name] for name in (*ALWAYS, *kind.uses) if name in OPTIONS}
    if "no_sigmoid_lr" in kind.uses:
        painter["sigmoid_rates"] = not given["no_sigmoid_lr"]
    if kind.parts.get("sequence") == "transformer":
        # The pieces of the latent are mapped to the model's width at once.
        painter["mini_input_size"] = given["rnn_hidden_size"]
    fpa: dict[str, Any] = {
        "painter": painter,
        "discriminator": {"fmap_max": given["fmap_max"]},
        "recipe": recipe,
    }
    if kind.partial and given["use_intermed_loss"] > 1:
        fpa |= {
            "partial_images": given["use_intermed_loss"],
            "scale_partial_images": given["scale_intermed_loss"],
        }
    try:
        complete = FPASettings(**fpa).model_dump(mode="json")
        if not kind.unet:
            return "fpa.models:FPA", fpa, None
        # v1.5's U-Net gets the matrix as it is.
        tanh = given["unet_tanh"] and kind.parts.get("inputs") != "split"
        unet = {
            "unet": {"max_multiplier": given["max_unet_dim"], "tanh_input": tanh},
            "recipe": recipe,
            "refining": _refining(kind, given),
        }
        FPAUNetSettings(**unet)
        return "fpa.models:FPAUNet", unet, complete
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{where}: {place}: {first['msg']}, found {first['input']!r}") from None


def _refining(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is trained of painter and U-Net."""
    gradient, unrefined = not given["stop_grad_unet"], given["pre_unet_loss"]
    if given["frozen_base"] or not (gradient or unrefined):
        # Without a loss that reaches it, a painter stays what it is.
        return {"unrefined_loss": unrefined}
    # Only v1's U-Net has a rate of its own there.
    rate = given["unet_lr"] if kind.parts.get("inputs") == "v1" else None
    return {
        "painter": "trained",
        "gradient_into_painter": gradient,
        "unrefined_loss": unrefined,
        "unet_learning_rate": rate,
    }


def _same_type(args: Mapping[str, Any], name: str, default: Any, where: str) -> Any:
    """An argument, or its default; UserError when it is of another type."""
    value = args.get(name, default)
    if value is None:
        return default
    expected = type(default)
    fits = type(value) is expected or (expected is float and type(value) is int)
    if not fits:
        words = {int: "a whole number", bool: "true or false", float: "a number"}
        raise UserError(f"{where}: {name} is {value!r}, expected {words[expected]}")
    return value
