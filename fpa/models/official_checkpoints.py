"""Checkpoints of the paper's public code (IDSIA/fpainter): their settings, tensors and names in ours.

A run of the public code leaves `args.txt`, its command-line arguments as a JSON object, and `model_N.pt`,
torch's archive of {"GAN": state dict, "version": ..., "G_opt": ..., "D_opt": ...}. The state dict holds the
generator under "G.", its average under "GE.", the discriminator under "D." and again, as its augmentation
wrapper holds it, under "D_aug.D.". A generator with a U-Net lists every tensor twice: under its own name,
and under "mod_dict".
"""

import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from fpa.core.errors import UserError, did_you_mean, explain
from fpa.models.discriminator import Discriminator
from fpa.models.interface import Settings, State
from fpa.models.layers import DualAttention
from fpa.models.painter import Painter
from fpa.models.settings import FPASettings, FPAUNetSettings
from fpa.models.unet import RefinedPainter, UNet

Number = int | float


class Arguments(BaseModel):
    """Arguments that matter here, with the public command line's defaults; others are ignored.

    Those that are a setting of ours have its name, and their own as an alias.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    image_size: int = 64
    greyscale: bool = False
    transparent: bool = False
    latent_dim: int = 256
    hidden_size: int = Field(512, alias="rnn_hidden_size")
    layers: int = Field(1, alias="num_layers")
    steps: int = Field(64, alias="num_decoding_steps")
    mini_latent_dim: int = 8
    mini_input_size: int = 128
    wide_dim: int = Field(0, alias="wide_out_dim")
    heads: int = Field(8, alias="num_heads")
    feedforward_size: int = Field(1024, alias="ff_dim")
    max_unet_dim: int = 4
    fmap_max: int = 512
    softmax_keys: bool = Field(False, alias="use_softmax")
    tanh_image: bool = Field(False, alias="out_tanh")
    unet_tanh: bool = False
    position_codes: bool = Field(False, alias="use_pos_enc")
    learned_initial: bool = Field(False, alias="use_learned_init")
    latent_to_state: bool = Field(False, alias="use_latent_to_init")
    mini_tanh: bool = Field(False, alias="v2_input_sigmoid")
    tanh_values: bool = Field(False, alias="val_tanh")
    vector_rates: bool = Field(False, alias="vect_lr")
    no_sigmoid_lr: bool = False
    use_intermed_loss: int = 1
    scale_intermed_loss: bool = False
    frozen_base: bool = False
    stop_grad_unet: bool = False
    pre_unet_loss: bool = False
    batch_size: int = 10
    accumulation: int = Field(4, alias="grad_cummulate_every")
    num_train_steps: int = 150_000
    learning_rate: Number = 2e-4
    discriminator_rate_factor: Number = Field(1.0, alias="ttur_mult")
    unet_lr: Number = 2e-4
    augment_probability: Number = Field(0.0, alias="aug_prob")
    lstm_init_factor: Number = Field(1.0, alias="rnn_init_fact")
    kvb_init_factor: Number = Field(1.0, alias="kvb_init_fact")
    seed: int = 1


PUBLIC = {field.alias or name: field for name, field in Arguments.model_fields.items()}
"""The arguments by their own names."""
WITHOUT_EFFECT = frozenset(
    "model_type optimizer data_dir result_dir model_dir work_dir exp_name new save_all image_save_format "
    "load_from load_only_g load_pre_trained reset_g_optimizer reset_d_optimizer num_image_tiles generate "
    "generate_types generate_interpolation interpolation_num_steps eval_fid eval_without_ema aug_test "
    "multi_gpus num_workers save_every evaluate_every calculate_fid_every calculate_fid_num_images "
    "clear_fid_cache not_fid_all_real fid_real_path project_name job_name use_wandb".split()
)
"""Arguments about folders, logs, evaluation and how a training began: a resumed training is the same
without them."""

RECIPE = ("learning_rate", "discriminator_rate_factor", "augment_probability", "accumulation")
ALWAYS = ("steps", "latent_dim", "hidden_size", "layers", "tanh_image")
COMMON = ("position_codes", "softmax_keys", "no_sigmoid_lr")
INIT = ("lstm_init_factor", "kvb_init_factor")
V2 = ("mini_latent_dim", "mini_input_size", "mini_tanh", "tanh_values", "vector_rates")
HEADS = ("heads", "feedforward_size")
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


DELTA = Kind({"inputs": "v1"}, (*COMMON, *INIT, "tanh_values", "vector_rates", "learned_initial"))
KINDS = {
    "lstm_delta": Kind(DELTA.parts, (*DELTA.uses, "wide_dim"), partial=True),
    "lstm_delta_unet": Kind(DELTA.parts, (*COMMON, *INIT, "learned_initial"), unet=True),
    "lstm_delta_split_v2": Kind(
        {}, (*COMMON, *INIT, *V2, "latent_to_state", "wide_dim"), partial=True
    ),
    "lstm_delta_split_v2_unet": Kind({}, (*COMMON, *INIT, *V2, "latent_to_state"), unet=True),
    "lstm_sum": Kind({"rule": "additive", "inputs": "v1"}, ("position_codes",)),
    "lstm_delta_split": Kind({"inputs": "split"}, (*COMMON, *INIT, "mini_input_size")),
    "lstm_delta_split_unet": Kind(
        {"inputs": "split"}, (*COMMON, *INIT, "mini_input_size"), unet=True
    ),
    "lstm_oja_split_v2": Kind({"rule": "oja"}, (*COMMON, *INIT, *V2, "wide_dim"), partial=True),
    "trafo_delta_split": Kind({"inputs": "split", "sequence": "transformer"}, (*COMMON, *HEADS)),
    "rfwp_delta": Kind({"inputs": "v1", "sequence": "rfwp"}, (*COMMON, *HEADS, "learned_initial")),
}
BASE = "base"
"""The `model_type` of LightGAN."""


@dataclass(frozen=True)
class Imported:
    """What a published run is here."""

    kind: str
    model: str
    """The class, as package.module:Class."""
    settings: Settings
    image_size: int
    channels: int
    batch_size: int
    """Images of one step, of all its passes."""
    steps: int
    """Steps that were asked for."""
    seed: int
    base: Settings | None = None
    """Settings of the FPA that a U-Net refines."""
    not_taken: tuple[str, ...] = ()
    """Arguments of its training that this project has no setting for."""


def read_arguments(args: Mapping[str, object], where: str) -> Imported:
    """The settings of a published run; UserError, beginning with `where`, when it is none.

    What is missing has the default of the public command line. Arguments that its model does not use
    are ignored, as there.
    """
    kind = args.get("model_type")
    known = [BASE, *KINDS]
    if kind not in known:
        near = did_you_mean(str(kind), known)
        raise UserError(f"{where}: model_type is {kind!r}, expected a published model's{near}")
    given = _checked(args, where)
    if given.transparent:
        raise UserError(f"{where}: transparent images (4 channels) are not supported")
    recipe = {name: getattr(given, name) for name in RECIPE}
    model, base = "baselines.lightgan:LightGAN", None
    if kind == BASE:
        sizes = {"fmap_max": given.fmap_max}
        generator = {"latent_dim": given.latent_dim, **sizes}
        settings: Settings = {"generator": generator, "discriminator": sizes, "recipe": recipe}
    else:
        model, settings, base = _painter(KINDS[str(kind)], given, recipe, where)
    return Imported(
        str(kind),
        model,
        settings,
        given.image_size,
        1 if given.greyscale else 3,
        given.batch_size * given.accumulation,
        given.num_train_steps,
        given.seed,
        base,
        _not_taken(args, given),
    )


def _not_taken(args: Mapping[str, object], given: Arguments) -> tuple[str, ...]:
    """Arguments that are switched on and that nothing here corresponds to, such as use_unet_match_loss."""
    known = WITHOUT_EFFECT | PUBLIC.keys()
    if given.frozen_base:
        # An EMA of a frozen painter is that painter.
        known |= {"ema_only_unet"}
    return tuple(name for name, value in args.items() if value and name not in known)


def _checked(args: Mapping[str, object], where: str) -> Arguments:
    try:
        return Arguments.model_validate({k: v for k, v in args.items() if v is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        words = {int: "a whole number", bool: "true or false", Number: "a number"}
        expected = words[PUBLIC[name].annotation]
        raise UserError(f"{where}: {name} is {args[name]!r}, expected {expected}") from None


def _painter(
    kind: Kind, given: Arguments, recipe: Settings, where: str
) -> tuple[str, Settings, Settings | None]:
    """Class, settings, and settings of the base."""
    painter: dict[str, object] = {**OFF, **kind.parts}
    painter |= {name: getattr(given, name) for name in (*ALWAYS, *kind.uses)}
    if "no_sigmoid_lr" in painter:
        painter["sigmoid_rates"] = not painter.pop("no_sigmoid_lr")
    if kind.parts.get("sequence") == "transformer":
        # The pieces of the latent are mapped to the model's width at once.
        painter["mini_input_size"] = given.hidden_size
    fpa = {"painter": painter, "discriminator": {"fmap_max": given.fmap_max}, "recipe": recipe}
    if kind.partial and given.use_intermed_loss > 1:
        fpa |= {
            "partial_images": given.use_intermed_loss,
            "scale_partial_images": given.scale_intermed_loss,
        }
    try:
        complete = FPASettings.model_validate(fpa).model_dump(mode="json")
        if not kind.unet:
            return "fpa.models:FPA", fpa, None
        # v1.5's U-Net gets the matrix as it is.
        tanh = given.unet_tanh and kind.parts.get("inputs") != "split"
        unet = {
            "unet": {"max_multiplier": given.max_unet_dim, "tanh_input": tanh},
            "recipe": recipe,
            "refining": _refining(kind, given),
        }
        FPAUNetSettings.model_validate(unet)
        return "fpa.models:FPAUNet", unet, complete
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error, FPASettings)}") from None


def _refining(kind: Kind, given: Arguments) -> Settings:
    gradient, unrefined = not given.stop_grad_unet, given.pre_unet_loss
    if given.frozen_base or not (gradient or unrefined):
        # Without a loss that reaches it, a painter stays what it is.
        return {"unrefined_loss": unrefined}
    # Only v1's U-Net has a rate of its own there.
    rate = given.unet_lr if kind.parts.get("inputs") == "v1" else None
    return {
        "painter": "trained",
        "gradient_into_painter": gradient,
        "unrefined_loss": unrefined,
        "unet_learning_rate": rate,
    }


NETWORKS = {"G": "generator", "GE": "ema", "D_aug.D": "discriminator"}
"""Prefixes of the state dict, and what is under them."""
OPTIMIZERS = {"generator": "G_opt", "discriminator": "D_opt"}
BLUR = re.compile(r"(.*\.)?f$")
"""The kernel of a blur, which is a buffer there."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds, under its public names and in their order."""

    path: Path
    networks: Mapping[str, Mapping[str, Tensor]]
    """"generator", "ema" and "discriminator": name -> tensor."""
    optimizers: Mapping[str, State]
    """"generator" and "discriminator", as torch's optimizers save them, where they are there."""


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint; UserError with the reason where the file is none. Runs no code of the file."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError) as error:
        raise UserError(f"{path} {_reason(error)}") from error
    if not isinstance(whole, Mapping) or not isinstance(whole.get("GAN"), Mapping):
        found = f"keys {', '.join(map(str, whole))}" if isinstance(whole, Mapping) else type(whole)
        raise UserError(
            f"{path} is not a checkpoint of the public code: it has no state dict under 'GAN' "
            f"(found {found})"
        )
    optimizers = {name: whole.get(key) for name, key in OPTIMIZERS.items()}
    saved = {
        name: state
        for name, state in optimizers.items()
        if isinstance(state, Mapping) and {"state", "param_groups"} <= state.keys()
    }
    return Checkpoint(path, _networks(whole["GAN"], path), saved)


def _networks(state: State, path: Path) -> dict[str, dict[str, Tensor]]:
    """The state dict by network, without what it holds twice."""
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in (*NETWORKS, "D")}
    for key, value in state.items():
        prefix = next((p for p in parts if str(key).startswith(f"{p}.")), None)
        if prefix is None or not isinstance(value, Tensor):
            raise UserError(
                f"{path}: 'GAN' holds {key!r}, expected tensors under G., GE., D. and D_aug.D."
            )
        parts[prefix][str(key).removeprefix(f"{prefix}.")] = value
    plain = parts.pop("D")
    # The wrapped one is what trains; older checkpoints may have only the other.
    parts["D_aug.D"] = parts["D_aug.D"] or plain
    for prefix, tensors in parts.items():
        if not tensors:
            raise UserError(f"{path}: there are no tensors under {prefix}.")
    return {
        NETWORKS[prefix]: _once(tensors, f"{path}: {prefix}") for prefix, tensors in parts.items()
    }


def _once(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Without blur kernels, and without mod_dict, whose lists repeat the others in their order."""
    kept: dict[str, Tensor] = {}
    repeated: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not BLUR.match(name):
            (repeated if name.startswith("mod_dict.") else kept)[name] = tensor
        elif tensor.tolist() != [1.0, 2.0, 1.0]:
            raise UserError(f"{where}.{name} is {tensor.tolist()}, expected [1, 2, 1]")
    if repeated:
        # A module's own parameters (position codes, W_0) are in no list of modules.
        layers = [name for name in kept if "." in name]
        order = sorted(layers, key=lambda name: name.startswith("u_net."))
        if len(order) != len(repeated):
            raise UserError(
                f"{where}.mod_dict repeats {len(repeated)} tensors, expected all {len(order)}"
            )
        for name, (copied, tensor) in zip(order, repeated.items(), strict=True):
            if kept[name].shape != tensor.shape or not torch.equal(kept[name], tensor):
                raise UserError(f"{where}.{copied} is another tensor than {where}.{name}")
    return kept


Replacement = str | Callable[[re.Match[str]], str]
Table = Sequence[tuple[str, Replacement]]
"""(pattern, replacement), applied to a name of ours one after the other: its public name."""

PAINTER: Table = [
    (r"^program\.inputs\.to_state\.", "latent_to_init."),
    (r"^program\.inputs\.to_mini\.", "input_generator."),
    (r"^program\.inputs\.to_input\.", "per_time_linear_input."),
    (r"^program\.sequence\.lstm\.", "decoder_rnn."),
    (r"^program\.wide\.", "wide_net."),
    (r"^program\.to_kvb\.", "kvb_net."),
    (r"^program\.position_codes$", "decoder_time_enc"),
    (r"^initial$", "learned_init"),
]
TRANSFORMER: Table = [
    (r"^program\.sequence\.layers\.", "transformer_encoder."),
    (r"\.layers\.0\.", ".ff_layers.0."),
    (r"\.layers\.2\.", ".ff_layers.3."),
    (r"\.projection\.", ".slow_net."),
    (r"\.out\.", ".out_linear."),
    (r"\.norm\.", ".layer_norm."),
]
RFWP: Table = [
    (r"^program\.sequence\.to_width\.", "latent_to_input."),
    (r"^program\.sequence\.layers\.", "rfwp_layers."),
    (r"^program\.sequence\.feedforward\.", "ff_layers."),
    *TRANSFORMER[1:],
]
ADDITIVE: Table = [(r"^kvb_net\.", "kv_net.")]
"""The additive painter's layer makes no rates."""

CHAN_NORM: Table = [(r"norm\.gain$", "norm.g"), (r"norm\.shift$", "norm.b")]
UNET: Table = [
    (r"^first\.", "init_conv."),
    (r"^shrink\.(\d+)\.", r"downs.\1.3."),
    (r"^grow\.(\d+)\.", r"ups.\1.3."),
    (r"^(down|up)\.", r"\1s."),
    (r"^middle\.0\.", "mid_block1."),
    (r"^middle\.1\.", "mid_attn."),
    (r"^middle\.2\.", "mid_block2."),
    (r"^last\.", "final_res_block."),
    (r"^to_image\.", "final_conv."),
    # The attention's own layers stand in a PreNorm in a Residual; the linear one's output in a list.
    (r"^(mid_attn|(?:downs|ups)\.\d+\.attention)\.qkv\.", r"\1.fn.fn.to_qkv."),
    (r"^mid_attn\.out\.", "mid_attn.fn.fn.to_out."),
    (r"\.attention\.out\.", ".attention.fn.fn.to_out.0."),
    (r"\.out_norm\.gain$", ".fn.fn.to_out.1.g"),
    (r"\.out_norm\.shift$", ".fn.fn.to_out.1.b"),
    (r"^(mid_attn|(?:downs|ups)\.\d+\.attention)\.norm\.", r"\1.fn.norm."),
    *CHAN_NORM,
    # Convolution and group norm; then the blocks, innermost first.
    (r"(block[12])\.0\.", r"\1.proj."),
    (r"(block[12])\.1\.", r"\1.norm."),
    (r"\.skip\.", ".res_conv."),
    (r"^((?:downs|ups)\.\d+)\.block1\.", r"\1.0."),
    (r"^((?:downs|ups)\.\d+)\.block2\.", r"\1.1."),
    (r"^((?:downs|ups)\.\d+)\.attention\.", r"\1.2."),
]
ATTENTION: Table = [
    (r"\.linear_q\.", ".fn.to_lin_q."),
    (r"\.linear_kv\.", ".fn.to_lin_kv.net."),
    (r"\.local_q\.", ".fn.to_q."),
    (r"\.local_kv\.", ".fn.to_kv."),
    (r"\.out\.", ".fn.to_out."),
    *CHAN_NORM,
]
LIGHTGAN: Table = [
    (r"^start\.", "initial_conv."),
    (r"^attention\.(\d+)\.", lambda m: f"layers.{int(m[1]) - 2}.2."),
    *ATTENTION,
    (r"^grow\.(\d+)\.conv\.", lambda m: f"layers.{int(m[1]) - 2}.0.2.1."),
    (r"^grow\.(\d+)\.noise\.", lambda m: f"layers.{int(m[1]) - 2}.0.3."),
    (r"^grow\.(\d+)\.norm\.", lambda m: f"layers.{int(m[1]) - 2}.0.4."),
    (r"^excite\.(\d+)\.to_weights\.", lambda m: f"layers.{int(m[1]) - 3}.1.to_k."),
    (r"^excite\.(\d+)\.gate\.", lambda m: f"layers.{int(m[1]) - 3}.1.net."),
    (r"^to_image\.", "out_conv."),
]


def public_names(network: nn.Module, ours: str = "", theirs: str = "") -> dict[str, str]:
    """Every name of a network's state dict, behind `ours` -> its public name, behind `theirs`."""
    if isinstance(network, RefinedPainter):
        unet = public_names(network.unet, "unet.", "u_net.")
        return {**public_names(network.painter, "painter."), **unet}
    table, found = _table(network), {}
    for name in network.state_dict():
        public = name
        for pattern, replacement in table:
            public = re.sub(pattern, replacement, public)
        found[ours + name] = theirs + public
    return found


def _table(network: nn.Module) -> Table:
    if isinstance(network, Painter):
        settings = network.settings
        sequence = {"transformer": TRANSFORMER, "rfwp": RFWP}.get(settings.sequence, ())
        return [*PAINTER, *sequence, *(ADDITIVE if settings.rule == "additive" else ())]
    if not isinstance(network, Discriminator):
        return UNET if isinstance(network, UNet) else LIGHTGAN
    # Its features are one list of attention and halving layers here.
    places: list[str] = []
    level = 0
    for layer in network.features:
        attention = isinstance(layer, DualAttention)
        places.append(f"residual_layers.{level}.{int(attention)}.")
        level += not attention
    return [
        (r"^features\.(\d+)\.", lambda m: places[int(m[1])]),
        (r"^to_logit\.", "to_logits."),
        (r"^view_to_logit\.([13])\.", r"to_shape_disc_out.\1.fn."),
        (r"^view_to_logit\.", "to_shape_disc_out."),
        (r"^decoder\.(\d+)\.", lambda m: f"decoder1.layers.{int(m[1]) // 3}.1."),
        (r"\.convs\.", ".branches.0."),
        (r"\.pool\.", ".branches.1."),
        *ATTENTION,
    ]


def state_of(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """A network's state dict, of tensors by their public names.

    UserError for a missing tensor, one of another shape, and one that has no place.
    """
    state, names = {}, public_names(network)
    for name, own in network.state_dict().items():
        if names[name] not in tensors:
            raise UserError(f"{where} lacks the tensor {names[name]}, {tuple(own.shape)}")
        state[name] = _fitted(tensors[names[name]], own, f"{where}: {names[name]}")
    others = [name for name in tensors if name not in set(names.values())]
    if others:
        raise UserError(
            f"{where} holds {others[0]}, {tuple(tensors[others[0]].shape)}, which this model has no "
            "place for; do the arguments belong to the checkpoint?"
        )
    return state


def _fitted(tensor: Tensor, own: Tensor, where: str) -> Tensor:
    """The tensor in our shape: recurrent fast weights have further dimensions of 1 there."""
    if tensor.shape != own.shape and tensor.dim() == 4 and own.dim() == 3 and len(tensor) == 1:
        # R_q (1, heads, E, E), r_b (1, heads, 1, E): ours is (heads, E, 1).
        tensor = tensor[0] if tensor.shape[1:] == own.shape else tensor[0].transpose(1, 2)
    if tensor.shape != own.shape:
        raise UserError(f"{where} is {tuple(tensor.shape)}, expected {tuple(own.shape)}")
    if tensor.is_floating_point() != own.is_floating_point():
        raise UserError(f"{where} is {tensor.dtype}, expected {own.dtype}")
    return tensor.to(own.dtype).contiguous()


def moments_of(
    optimizer: State, network: nn.Module, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Adam's moments of a network's parameters as "exp_avg.NAME", ..., by our names.

    tensors: the network's, by public names: without buffers, they are in the order of the
    optimizer's parameters. Empty where their numbers differ.
    """
    parameters = dict(network.named_parameters())
    names = public_names(network)
    ours = {public: name for name, public in names.items() if name in parameters}
    order = [ours[public] for public in tensors if public in ours]
    numbered = [number for group in optimizer["param_groups"] for number in group["params"]]
    if len(numbered) != len(order):
        return {}
    found: dict[str, Tensor] = {}
    for number, name in zip(numbered, order, strict=True):
        for kind, value in optimizer["state"].get(number, {}).items():
            value = torch.as_tensor(value, dtype=torch.float32)
            fitting = value if kind == "step" else _fitted(value, parameters[name], kind)
            found[f"{kind}.{name}"] = fitting
    return found


def _reason(error: Exception) -> str:
    """Why torch's loader does not read a file, in one line and without its advice to trust it."""
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if asked:
        return f"is refused: it asks to run {asked[1]}, and a checkpoint needs tensors and numbers alone"
    lines = str(error).splitlines() or [type(error).__name__]
    said = "" if "weights_only" in lines[0] else f" ({lines[0]})"
    return (
        "is not a file that torch has saved, is damaged, or holds something else than tensors and "
        f"numbers{said}"
    )
