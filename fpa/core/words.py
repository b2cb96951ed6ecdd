"""Lists and counts in captions and messages."""

from collections.abc import Sequence


def in_words(words: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def cpu_threads(count: int | None) -> str:
    """1 CPU thread, 2 CPU threads."""
    return f"{count} CPU {'thread' if count == 1 else 'threads'}"
