"""Lists in captions and messages."""

from collections.abc import Sequence


def in_words(words: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
