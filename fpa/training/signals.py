"""Signals that ask a training to stop, noted and answered when it suits."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """A signal ended something that can be done again."""


class StopSignal:
    """Notes SIGINT, SIGTERM and SIGUSR1 inside its block; a second one acts as without it.

    A block inside its own block changes nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.received: str | None = None
        self._breaks = False
        self._depth = 0

    def __enter__(self) -> "StopSignal":
        if not self._depth:
            self.before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()
        if self._breaks:
            raise Interrupted

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """A part that a signal ends at once, by Interrupted, because it can be done again."""
        self._breaks = True
        try:
            if self.received:
                raise Interrupted
            yield
        finally:
            self._breaks = False

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
