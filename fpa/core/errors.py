"""The two exceptions that end a command without a traceback, and the wording of messages."""

import difflib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class UserError(Exception):
    """Bad input, a missing file, a full disk. Shown as one line, never as a traceback."""


class Stopped(Exception):
    """A signal asked a training to stop; everything up to now is saved."""

    EXIT_CODE = 75
    """EX_TEMPFAIL: try again later."""


@contextmanager
def said_of(where: object) -> Iterator[None]:
    """UserErrors of this block begin with `where`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def one_line(error: object) -> str:
    """The first line of what an error says, or its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def did_you_mean(word: str, known: list[str]) -> str:
    """'; did you mean X?' or the list of what is known, to end an error message with."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(sorted({*known}))}" if known else ""


def in_words(words: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def cpu_threads(count: int | None) -> str:
    """1 CPU thread, 2 CPU threads."""
    return f"{count} CPU {'thread' if count == 1 else 'threads'}"


# What pydantic finds wrong ------------------------------------------------------------------------

EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "at least {min_length}",
    "string_too_short": "a text",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a name that matches {pattern}",
    "literal_error": "one of {expected}",
}
"""By pydantic's name of a mistake, with its limits."""


def explain(
    error: "ValidationError",
    model: "type[BaseModel]",
    where: str = "",
    key: str = "key",
    whole: str = "",
) -> str:
    """The uppermost of pydantic's complaints in one line: where, what was found, what was expected.

    where: the place that the data has in a configuration or file. key: what a key is called. whole: what
    all of the data is called.
    """
    problems = error.errors(include_url=False)
    # An entry that is wrong is not counted, so its list is said to be too short as well.
    others = [p for p in problems if p["type"] != "too_short" or not p["input"]]
    first = min(others or problems, key=lambda problem: len(problem["loc"]))
    # Without pydantic's own words: the kinds of a value, and that a key is meant.
    loc = [part for part in first["loc"] if not str(part).startswith("<")]
    loc = loc[:-2] if loc[-1:] == ["[key]"] else loc
    path = ".".join(map(str, [*filter(None, [where]), *loc])) or whole
    prefix = f"{path}: " if path else ""
    if first["type"] == "extra_forbidden":
        return f"{prefix}unknown {key}{did_you_mean(str(loc[-1]), _known_keys(model, loc[:-1]))}"
    if first["type"] == "missing":
        missing = [
            problem["loc"][-1]
            for problem in problems
            if (problem["type"], problem["loc"][:-1]) == ("missing", first["loc"][:-1])
        ]
        above = ".".join(map(str, [*filter(None, [where]), *loc[:-1]])) or whole
        return f"{above}: missing {', '.join(map(str, missing))}".removeprefix(": ")
    if first["type"] == "value_error":
        return f"{prefix}{first['msg'].removeprefix('Value error, ')}"
    value, limits = first["input"], first.get("ctx", {})
    limits = {name: f"{x:g}" if isinstance(x, float) else str(x) for name, x in limits.items()}
    if choices := limits.get("expected"):
        limits["expected"] = choices.replace("'", "").replace(" or ", ", ")
    found = json.dumps(value, default=str)
    found = found if len(found) <= 60 else found[:57] + "..."
    if expected := EXPECTED.get(first["type"]):
        hint = _hint(first["type"], value)
        return f"{prefix}expected {expected.format(**limits)}, found {found}{hint}"
    return f"{prefix}{first['msg'][0].lower()}{first['msg'][1:]}, found {found}"


def _hint(kind: str, value: object) -> str:
    """What to write instead, where a number was meant."""
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if kind in ("int_type", "float_type") and isinstance(value, str):
        with suppress(ValueError):
            number = f"{float(value):{'.1e' if 'e' in value else 'g'}}"
            return f"; YAML takes it for text, write {number}" if number[-1].isdigit() else ""
    return ""


def _known_keys(model: "type[BaseModel]", loc: "list[int | str]") -> list[str]:
    part: Any = model
    for step in loc:
        if fields := getattr(part, "model_fields", None):
            part = next(f.annotation for n, f in fields.items() if step in (n, f.alias))
        else:  # a dictionary or list of them
            part = get_args(part)[-1]
        while not hasattr(part, "model_fields") and type(None) in get_args(part):
            part = get_args(part)[0]
    return [field.alias or name for name, field in part.model_fields.items()]
