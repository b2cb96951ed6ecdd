"""The experiment's configuration: read, checked against its JSON schema, defaults filled in."""

import copy
import functools
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from fpa.core.errors import UserError, did_you_mean
from fpa.experiment.plain import check_plain, read_yaml

SCHEMA = Path(__file__).parent / "config.schema.yaml"


@functools.cache
def schema() -> dict[str, Any]:
    """The configuration's JSON schema (draft 2020-12)."""
    return yaml.safe_load(SCHEMA.read_text())


def defaults(section: str) -> dict[str, Any]:
    """Default values of one of the configuration's sections."""
    return _fill({}, schema()["properties"][section])


def read_config(path: str | Path) -> dict[str, Any]:
    """A configuration file as it stands; UserError when it is missing or not YAML."""
    config = read_yaml(path)
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no configuration (expected keys and values at the top)")
    return config


def check_files(paths: Iterable[str | Path]) -> None:
    """Read configuration files that Snakemake has read; ends the program with a line for a mistake."""
    try:
        for path in paths:
            # JSON may hold tabs where YAML may not.
            if Path(path).suffix != ".json":
                read_config(path)
    except UserError as error:
        sys.exit(f"configuration error: {error}")


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with defaults filled in; UserError names the first thing wrong with it.

    The `training` section of each model is completed from the experiment's, so that every model
    carries its whole budget.
    """
    check_plain(config)
    # Snakemake hands over its own dictionary types.
    plain = json.loads(json.dumps(config))
    _validate(plain, schema(), "")
    filled = _fill(plain, schema())
    training = schema()["properties"]["training"]
    for name, model in filled["models"].items():
        merged = {**filled["training"], **model["training"]}
        _validate(merged, training, f"models.{name}.training")
        model["training"] = merged
    return filled


def check_dataset(spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    """One data set's settings with defaults filled in; UserError names the first thing wrong."""
    part = schema()["properties"]["datasets"]["additionalProperties"]
    _validate(dict(spec), part, where)
    return _fill(dict(spec), part)


def _fill(value: Any, part: Mapping[str, Any]) -> Any:
    """Defaults of the schema put where the value has nothing."""
    if not isinstance(value, dict):
        return value
    known = part.get("properties", {})
    filled = {k: copy.deepcopy(p["default"]) for k, p in known.items() if "default" in p}
    filled.update(value)
    others = part.get("additionalProperties")
    others = others if isinstance(others, dict) else {}
    return {k: _fill(v, known.get(k, others)) for k, v in filled.items()}


def _validate(value: Any, part: Mapping[str, Any], where: str) -> None:
    error = best_match(Draft202012Validator(part).iter_errors(value))
    if error is not None:
        raise UserError(_one_line(error, where))


def _one_line(error: ValidationError, where: str) -> str:
    """What was found, what was expected, and where, in one line."""
    path = ".".join(filter(None, [where, *(str(p) for p in error.absolute_path)]))
    place = path or "configuration"
    wanted = error.validator_value
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        key = next(k for k in error.instance if k not in known)
        name = f"{path}.{key}" if path else key
        return f"{name}: unknown key{did_you_mean(key, known)}"
    if error.validator == "required":
        missing = [k for k in wanted if k not in error.instance]
        return f"{place}: missing {', '.join(missing)}"
    found = json.dumps(error.instance)
    if len(found) > 60:
        found = found[:57] + "..."
    if error.validator == "type":
        kinds = wanted if isinstance(wanted, list) else [wanted]
        return f"{place}: expected {' or '.join(kinds)}, found {found}"
    if error.validator == "enum":
        return f"{place}: expected one of {', '.join(map(str, wanted))}, found {found}"
    return f"{place}: {error.message}"
