"""YAML is read here, strictly: plain data of a sensible size, fit for file names, command lines and pages."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fpa.core.errors import UserError
from fpa.core.files import check_ordinary

LARGEST_FILE = 1 << 20
"""Bytes of a configuration file."""
MOST_VALUES = 100_000
"""Values of a configuration, aliases (*name) counted as often as they stand there."""
DEEPEST = 50
"""How far values may lie in one another."""
LONGEST_TEXT = 4_096
"""Characters of a text: the longest path of Linux."""
LARGEST_NUMBER = 2**63 - 1
FOLDERS = ("results", "data", "published", "inception_weights")
"""Keys with paths that become parts of the workflow's patterns and of command lines."""


class _Loader(yaml.SafeLoader):
    """YAML's plain types only. A key that stands twice in one place is an error, and so is a number that
    YAML 1.1 takes for another one than people do: 010 for 8, 1:30 for 90."""

    def construct_number(self, node: yaml.ScalarNode) -> float:
        text = str(node.value)
        if ":" in text or re.fullmatch(r"[-+]?0[0-9_]+", text):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"YAML takes {text} for another number; write it in decimals, or in quotes",
                node.start_mark,
            )
        whole = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands there twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def read_yaml(path: str | Path, what: str) -> Any:
    """The content of a YAML file; UserError when it is missing, not YAML, or larger than any.

    what: the words for such a file in the message, as in "the configuration".
    """
    check_ordinary(path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UserError(f"cannot read {what} {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    return parse_value(text, path)


def parse_value(text: str, where: object) -> Any:
    """The value of a YAML text; UserError, beginning with where it stands, when it is none."""
    if len(text) > LARGEST_FILE:
        raise UserError(f"{where} has more than {LARGEST_FILE:,} characters: no configuration has")
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


def check_plain(config: Any) -> None:
    """UserError unless a configuration is made of texts, numbers, lists and named values alone."""
    for count, (where, problem) in enumerate(_looked_at(config, "", 0)):
        if count >= MOST_VALUES:
            raise UserError(
                f"the configuration has more than {MOST_VALUES:,} values; are its aliases (*) meant?"
            )
        if problem:
            raise UserError(f"{where or 'configuration'}: {problem}")
    for key in FOLDERS:
        path = config.get(key) if isinstance(config, Mapping) else None
        if isinstance(path, str) and (path.startswith("-") or "{" in path or "}" in path):
            raise UserError(
                f"{key}: a path cannot begin with '-' or have braces in it, found {path!r}"
            )


def _looked_at(value: Any, where: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every key and value: its place and what is wrong with it (empty if nothing)."""
    if depth > DEEPEST:
        yield where[:60], f"more than {DEEPEST} levels; does the configuration contain itself?"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                yield where, _problem(key)
                yield from _looked_at(inner, f"{where}.{key}" if where else key, depth + 1)
            else:
                yield where, f"a key must be text, found {key!r}; put it in quotes"
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _looked_at(inner, f"{where}.{place}", depth + 1)
    else:
        yield where, _problem(value)


def _problem(value: Any) -> str:
    """What is wrong with a single value; empty if nothing."""
    if isinstance(value, str):
        odd = next((c for c in value if unicodedata.category(c) in ("Cc", "Cs")), None)
        if odd is not None:
            return f"expected one line without control characters, found {value!r:.60}"
        return (
            f"a text of {len(value):,} characters is too long" if len(value) > LONGEST_TEXT else ""
        )
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if abs(value) <= LARGEST_NUMBER else "the number is too large for any setting"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"expected a finite number, found {value}"
    return f"expected text, a number, true, false or null, found a {type(value).__name__}"
