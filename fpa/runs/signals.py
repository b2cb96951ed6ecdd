"""Signals that ask a training to stop, noted and answered when it suits."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """A signal ended something that can be done again."""


class StopSignal:
    """Notes the first SIGINT, SIGTERM or SIGUSR1 inside its block.

    Of those behind it, SIGINT acts as without the block: whoever presses Ctrl-C twice will not wait. The
    others are what schedulers send to every process of a job, often more than once, while it saves; they
    are left alone. A block inside its own block changes nothing.
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
        if self.received:
            return
        self.received = signal.Signals(number).name
        signal.signal(signal.SIGINT, self.before[signal.SIGINT])
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
