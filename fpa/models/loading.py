"""From a name in a configuration to a model: found, its settings checked, built.

What a package declares of a class is enough for planning. Only what builds or imports a class needs torch.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticSerializationError

from fpa.core.errors import UserError, did_you_mean, explain, one_line
from fpa.core.lazy import torch
from fpa.core.registry import check_trusted, import_by_name, with_place
from fpa.models.interface import Model, Settings
from fpa.models.parts import Importable, imported

GIVEN = ("self", "image_size", "channels", "base")
METHODS = ("step", "to", "state_dict", "load_state_dict")
SEE = "(see fpa/models/interface.py)"


@dataclass(frozen=True)
class Declaration:
    """A model class as a package declares it in its MODELS, by the class's name.

    A class that no MODELS lists works as well: what stands here is then taken from the class, which
    is imported for it (see `find_model`).
    """

    model: Importable
    """The class, or a function without arguments that imports and returns it."""
    settings: type[BaseModel]
    """Its settings: the constructor's keyword arguments but image_size, channels and base. With a method
    `check(image_size, channels, base)`, they say by a UserError that no such networks can be built."""
    version: int = 1
    """Raised when the class's training behaves differently: its runs are then trained again."""
    needs_base: bool = False
    """Whether it starts from a finished run of another model (interface.StartsFromRun)."""
    data_parallel: bool = False
    """Whether several processes may share a batch."""
    paints: bool = False
    """Whether it shows how it paints (interface.Paints)."""
    trains_with: tuple[str, ...] = ()
    """Feature networks that it trains with, by the extractors' names without a size, as in a
    Projected GAN's ("efficientnet_lite0",): scores in their features do not rank it."""
    blind_loss: Callable[[Any], float] | None = None
    """Settings -> `d_loss` of a discriminator that cannot tell real from generated images: one that gives
    every image the logit 0."""

    def load(self) -> type:
        return imported(self.model)


def lazily(
    package: str, models: Mapping[str, Declaration]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: declared classes are imported at their first use."""

    def get(name: str) -> Any:
        if name in models:
            return models[name].load()
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: [*vars(sys.modules[package]), *models]


def find_model(name: str, where: str) -> Declaration:
    """The model called `package.module:Class`; UserError says which part of the name is wrong."""
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name or module_name.startswith("."):
        raise UserError(f"{where}: '{name}' does not name a class as 'package.module:Class'")
    module = import_by_name(module_name, where)
    models = getattr(module, "MODELS", {})
    declared: Mapping[str, Declaration] = models if isinstance(models, Mapping) else {}
    if isinstance(declared.get(class_name), Declaration):
        return declared[class_name]
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        classes = {n for n, v in vars(module).items() if inspect.isclass(v)} - {"Declaration"}
        known = did_you_mean(class_name, sorted(classes | set(declared)))
        raise UserError(
            f"{where}: module '{module_name}' has no class '{class_name}'{known} (in "
            f"{getattr(module, '__file__', module_name)})"
        )
    missing = [method for method in METHODS if not hasattr(found, method)]
    if missing:
        raise UserError(f"{where}: '{name}' is not a model: it has no {', '.join(missing)} {SEE}")
    try:
        return declare(found)
    except Exception as error:
        # An annotation that names nothing, a default that is no setting.
        raise UserError(
            f"{where}: the settings of '{name}' cannot be read from its constructor: {one_line(error)}"
        ) from error


def declare(model_class: type) -> Declaration:
    """What a class that no package declares says about itself."""
    return Declaration(
        model_class,
        settings_of(model_class),
        version=getattr(model_class, "version", 1),
        needs_base=getattr(model_class, "needs_base", False),
        data_parallel=getattr(model_class, "data_parallel", False),
        paints=hasattr(model_class, "paint"),
        trains_with=tuple(getattr(model_class, "trains_with", ())),
    )


def settings_of(model_class: type) -> type[BaseModel]:
    """The settings that a model's constructor takes, as a pydantic model."""
    constructor = model_class.__init__  # type: ignore[misc]
    hints = get_type_hints(constructor, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name in GIVEN or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints.get(name, Any), default)
    config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    return create_model(f"{model_class.__name__}Settings", __config__=config, **fields)


def resolve_settings(model: Declaration, settings: Settings, where: str) -> dict[str, Any]:
    """Settings checked, defaults filled in, as plain JSON values."""
    try:
        # As JSON, and strictly: nothing is taken for a value of another type.
        checked = model.settings.model_validate_json(json.dumps(settings), strict=True)
    except ValidationError as error:
        raise UserError(explain(error, model.settings, where, "setting")) from None
    try:
        return checked.model_dump(mode="json")
    except PydanticSerializationError as error:
        raise UserError(f"{where}: a default is no JSON value: {one_line(error)}") from error


def changed_settings(model: Declaration, settings: Settings) -> dict[str, Any]:
    """Those of the settings that differ from their defaults, as plain JSON values."""
    return model.settings(**settings).model_dump(mode="json", exclude_defaults=True)


def blind_loss(name: str, settings: Settings) -> float:
    """The discriminator's loss where it cannot tell real from generated images; NaN where nobody knows.

    name: of a class that a file names: only one that files may name is imported.
    """
    try:
        check_trusted(name, "the run")
        model = find_model(name, "the run")
        found = model.blind_loss
        return math.nan if found is None else found(model.settings(**settings))
    except (UserError, ValidationError):
        return math.nan


def part_versions(model: Declaration, settings: Settings) -> dict[str, int]:
    """Versions above 1 of the exchangeable parts that the settings choose."""
    versions = getattr(model.settings(**settings), "part_versions", dict)
    return versions()


def build(
    name: str, settings: Settings, image_size: int, channels: int, base: Settings | None = None
) -> Model:
    """Construct a model; its weights come from torch's global generator."""
    declared = find_model(name, "model")
    try:
        checked = declared.settings(**settings)
    except ValidationError as error:
        raise UserError(explain(error, declared.settings, "settings", "setting")) from None
    arguments = {field: getattr(checked, field) for field in type(checked).model_fields}
    if declared.needs_base:
        arguments["base"] = base
    model = declared.load()(image_size=image_size, channels=channels, **arguments)
    _check_parts(model, name)
    return cast(Model, model)


@contextmanager
def shapes_only() -> Iterator[None]:
    """A block that builds networks with shapes and no numbers, on torch's meta device.

    To be asked or checked, before any memory is taken.
    """
    in_place = {torch.Tensor.normal_, torch.Tensor.uniform_}
    makers = {torch.randn, torch.rand}

    class Undrawn(torch.overrides.TorchFunctionMode):
        """Leaves out the numbers that parameters start from. For shapes, torch draws none but loads
        its compiler, for 1.4 s."""

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if func in in_place or getattr(func, "__module__", "") == "torch.nn.init":
                return args[0] if args else kwargs["tensor"]
            return torch.empty(*args, **kwargs) if func in makers else func(*args, **kwargs)

    with torch.device("meta"), Undrawn():
        yield


def check_settings(
    name: str, settings: Settings, image_size: int, channels: int, base: Settings | None
) -> None:
    """UserError unless a model can be built for such images and makes images of the right shape.

    A declared model's settings know. Any other model is built for it on torch's meta device, which
    takes no memory.
    """
    declared = find_model(name, "model")
    check = getattr(declared.settings(**settings), "check", None)
    if check is not None:
        check(image_size, channels, base)
        return
    try:
        with torch.device("meta"):
            model = build(name, settings, image_size, channels, base)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model '{name}' cannot be built: {with_place(error)}") from error
    with torch.device("meta"):
        check_images(model, name, image_size, channels)


def _check_parts(model: Any, name: str) -> None:
    missing = [a for a in ("latent_dim", "ema", "networks") if not hasattr(model, a)]
    if missing:
        raise UserError(f"model '{name}' has no attribute {', '.join(missing)} {SEE}")
    parts = {
        "latent_dim": (isinstance(model.latent_dim, int) and model.latent_dim > 0, "a number > 0"),
        "ema": (isinstance(model.ema, torch.nn.Module), "a torch.nn.Module"),
        "networks": (
            isinstance(model.networks, Mapping)
            and all(isinstance(n, torch.nn.Module) for n in model.networks.values())
            and model.networks.get("ema") is model.ema,
            'a dictionary of torch.nn.Modules with the EMA generator as "ema"',
        ),
    }
    for part, (valid, expected) in parts.items():
        if not valid:
            found = type(getattr(model, part)).__name__
            raise UserError(f"model '{name}': {part} is {found}, expected {expected} {SEE}")


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
    found = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
    if found != expected:
        raise UserError(
            f"model '{name}': its EMA generator makes {found} of latents (2, {model.latent_dim}), "
            f"expected images {expected}"
        )


def check_processes(name: str, batch_size: int, processes: int) -> None:
    """UserError unless a model can share its batches between so many processes."""
    if processes == 1:
        return
    if not find_model(name, "model").data_parallel:
        raise UserError(
            f"model '{name}' does not train on {processes} GPUs: it has no data_parallel = True "
            f"{SEE}; set runtime.gpus: 1"
        )
    if batch_size % processes:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {processes} GPUs; "
            "change training.batch_size or runtime.gpus"
        )
