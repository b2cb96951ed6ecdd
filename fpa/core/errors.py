"""The two exceptions that end a command without a traceback, and the wording of messages."""

import difflib
from collections.abc import Sequence


class UserError(Exception):
    """Bad input, a missing file, a full disk. Shown as one line, never as a traceback."""


class Stopped(Exception):
    """A signal asked a training to stop; everything up to now is saved."""

    EXIT_CODE = 75
    """EX_TEMPFAIL: try again later."""


def one_line(error: object) -> str:
    """The first line of what an error says, or its name if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def did_you_mean(word: str, known: list[str]) -> str:
    """'; did you mean X?' or the list of what is known, to end an error message with."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(sorted(known))}" if known else ""


def in_words(words: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def cpu_threads(count: int | None) -> str:
    """1 CPU thread, 2 CPU threads."""
    return f"{count} CPU {'thread' if count == 1 else 'threads'}"
