"""What a long job says while it works: log lines, and a progress bar with the time left."""

import logging
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

log = logging.getLogger("fpa")

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of writing."""
LINE_SECONDS = 15
"""Between two progress lines where no live bar can be drawn."""


class _Printable(logging.Formatter):
    """Escapes what would move a terminal's cursor: names of files may hold anything."""

    def format(self, record: logging.LogRecord) -> str:
        return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], super().format(record))


def start_logging(verb: str, log_file: str | Path | None) -> None:
    """Send log lines to stderr and, with time stamps, to the end of `log_file`.

    Of several processes of one training (RANK), the first one speaks; the others tell of errors.
    """
    first = os.environ.get("RANK", "0") == "0"
    log.setLevel(logging.INFO if first else logging.ERROR)
    log.handlers.clear()
    screen = logging.StreamHandler()
    if os.environ.get("FPA_PROGRESS") == "errors":
        screen.setLevel(logging.WARNING)
    screen.setFormatter(_Printable(f"{'fpa ' + verb if verb else 'fpa'}: %(message)s"))
    log.addHandler(screen)
    if log_file and first:
        Path(log_file).parent.mkdir(parents=True, exist_ok=True)
        file = LogFile(log_file, encoding="utf-8")
        file.setFormatter(_Printable("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(file)


class LogFile(logging.FileHandler):
    """A file of messages that is left incomplete on a full disk: the screen shows them all."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging names it)
        """Called where a message could not be written."""

    def close(self) -> None:
        with suppress(OSError):
            super().close()


class Progress:
    """A bar with ETA: live on a terminal, else a line every few seconds.

    Jobs of a workflow share the terminal (FPA_PROGRESS=lines): each writes whole lines, or leaves them to
    the workflow (FPA_PROGRESS=errors).
    """

    def __init__(self, total: int, label: str, unit: str, done: int = 0) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done = self.start_at = done
        self.started = self.last_line = time.monotonic()
        first = os.environ.get("RANK", "0") == "0"
        live = sys.stderr.isatty() and "FPA_PROGRESS" not in os.environ and first
        self.bar = tqdm(
            total=total, initial=done, desc=label, unit=unit, dynamic_ncols=True, disable=not live
        )

    def update(self, n: int, note: str = "") -> None:
        """`n` more units are done; `note` (losses, a score) goes behind the bar."""
        self.done += n
        if not self.bar.disable:
            if note:
                self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(n)
            return
        now = time.monotonic()
        if now - self.last_line >= LINE_SECONDS or self.done >= self.total:
            self.last_line = now
            log.info("%s", self._line(now - self.started, note))

    def _line(self, elapsed: float, note: str) -> str:
        rate = (self.done - self.start_at) / max(elapsed, 1e-9)
        left = (self.total - self.done) / rate if rate else 0
        filled = round(20 * self.done / max(self.total, 1))
        bar = "#" * filled + "." * (20 - filled)
        share = f"{100 * self.done / max(self.total, 1):3.0f}%"
        eta = f"ETA {tqdm.format_interval(left)}" if self.done < self.total else "done"
        numbers = f"{self.done}/{self.total} {self.unit}, {rate:.3g}/s, {eta}"
        return f"{self.label} {share} [{bar}] {numbers}{'  ' + note if note else ''}"

    def close(self) -> None:
        self.bar.close()
