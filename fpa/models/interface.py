"""What a model must bring, and the door through which a configuration names one.

A model is a class named `package.module:Class`. Its constructor takes `image_size`, `channels`
and its own settings as keyword arguments with type hints; a class with `needs_base = True` takes
the settings of the run that it starts from as `base` too. The instance keeps `Model`.
"""

import functools
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Protocol, get_type_hints, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import Tensor, nn

from fpa.common.errors import UserError, did_you_mean

Base = Mapping[str, Any]
"""Resolved settings of the model that a run starts from."""

GIVEN = ("self", "image_size", "channels", "base")


@runtime_checkable
class Model(Protocol):
    """What training, sampling and figures ask of a model; they know nothing else about it.

    Randomness comes from torch's global generators: the training loop seeds, saves and restores
    them. A model may also have `paint(z) -> dict of tensors` (the parts of a painting, see
    fpa.models) and, with `needs_base`, `start_from(networks)`. `data_parallel = True` says that
    several processes may share a batch: `step` then gets a share of it, draws by and trains through
    fpa.common.distributed, and leaves the same state in all of them.
    """

    latent_dim: int
    """L, the size of a latent."""
    ema: nn.Module
    """latents (B, L) -> images (B, C, H, W) in [0, 1], clamped by the caller; for evaluation."""
    networks: dict[str, nn.Module]
    """What a finished run saves by name; "generator", "ema" and "discriminator" are counted."""

    def step(self, real: Tensor) -> dict[str, Tensor]:
        """One training step on real images (B, C, H, W) in [0, 1]; its losses by name."""

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""

    def state_dict(self) -> dict[str, Any]:
        """ALL state that the next step depends on, of plain containers and tensors."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse."""


def find_class(name: str, where: str) -> type:
    """The class called `package.module:Class`; UserError says which part of it is wrong."""
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise UserError(f"{where}: '{name}' does not name a class as 'package.module:Class'")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"{where}: cannot import '{module_name}' of '{name}': {error}") from error
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        classes = [n for n in dir(module) if inspect.isclass(getattr(module, n))]
        raise UserError(
            f"{where}: module '{module_name}' has no class '{class_name}'{did_you_mean(class_name, classes)}"
        )
    missing = [m for m in ("step", "to", "state_dict", "load_state_dict") if not hasattr(found, m)]
    if missing:
        raise UserError(
            f"{where}: '{name}' is not a model: it has no {', '.join(missing)} (see fpa/models/interface.py)"
        )
    return found


@functools.cache
def settings_model(model_class: type) -> type[BaseModel]:
    """The settings that a model's constructor takes, as a pydantic model (with JSON schema)."""
    hints = get_type_hints(model_class.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(model_class.__init__).parameters.items():
        if name in GIVEN or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    return create_model(f"{model_class.__name__}Settings", __config__=config, **fields)


def resolve_settings(model_class: type, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings checked against the constructor, defaults filled in, as plain JSON values."""
    schema = settings_model(model_class)
    try:
        return schema(**settings).model_dump(mode="json")
    except ValidationError as error:
        raise UserError(_first_error(error, schema, where)) from None


def build(
    name: str, settings: Mapping[str, Any], image_size: int, channels: int, base: Base | None = None
) -> Model:
    """Construct a model; its weights come from torch's global generator."""
    model_class = find_class(name, "model")
    checked = settings_model(model_class)(**settings)
    arguments = {field: getattr(checked, field) for field in type(checked).model_fields}
    if getattr(model_class, "needs_base", False):
        arguments["base"] = base
    model = model_class(image_size=image_size, channels=channels, **arguments)
    _check_parts(model, name)
    return model


def _check_parts(model: Any, name: str) -> None:
    """UserError when a constructed model lacks something that the contract asks for."""
    missing = [a for a in ("latent_dim", "ema", "networks") if not hasattr(model, a)]
    if missing:
        raise UserError(
            f"model '{name}' has no attribute {', '.join(missing)} (see fpa/models/interface.py)"
        )
    parts = {
        "latent_dim": (isinstance(model.latent_dim, int) and model.latent_dim > 0, "a number > 0"),
        "ema": (isinstance(model.ema, nn.Module), "a torch.nn.Module"),
        "networks": (
            isinstance(model.networks, Mapping)
            and all(isinstance(n, nn.Module) for n in model.networks.values())
            and model.networks.get("ema") is model.ema,
            'a dictionary of torch.nn.Modules with the EMA generator as "ema"',
        ),
    }
    for part, (well, expected) in parts.items():
        if not well:
            found = type(getattr(model, part)).__name__
            raise UserError(
                f"model '{name}': {part} is {found}, expected {expected} (see fpa/models/interface.py)"
            )


def check_images(model: Model, name: str, image_size: int, channels: int) -> None:
    """UserError unless a model's EMA generator turns latents into images of the right shape."""
    expected = (2, channels, image_size, image_size)
    device = next(model.ema.parameters()).device
    try:
        with torch.inference_mode():
            made = model.ema(torch.zeros(2, model.latent_dim, device=device))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"model '{name}': its EMA generator fails on latents (2, {model.latent_dim}): "
            f"{str(error).splitlines()[0]}"
        ) from error
    found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
    if found != expected:
        raise UserError(
            f"model '{name}': its EMA generator makes {found} of latents (2, {model.latent_dim}), "
            f"expected images {expected}"
        )


def check_processes(name: str, batch_size: int, processes: int) -> None:
    """UserError unless a model can share its batches between so many processes."""
    if processes == 1:
        return
    if not getattr(find_class(name, "model"), "data_parallel", False):
        raise UserError(
            f"model '{name}' does not train on {processes} GPUs: it has no data_parallel = True "
            "(see fpa/models/interface.py); set runtime.gpus: 1"
        )
    if batch_size % processes:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {processes} GPUs; "
            "change training.batch_size or runtime.gpus"
        )


def _first_error(error: ValidationError, schema: type[BaseModel], where: str) -> str:
    """The first of pydantic's complaints as one line: where, what was found, what was expected."""
    first = error.errors(include_url=False)[0]
    path = ".".join([where, *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        model = schema
        for part in first["loc"][:-1]:
            model = model.model_fields[part].annotation
        return f"{path}: unknown setting{did_you_mean(str(first['loc'][-1]), list(model.model_fields))}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{path}: {message}, found {first['input']!r}"
