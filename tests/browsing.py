"""The report in a headless Chromium."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of programs that are one."""
PATIENCE = 1800
"""Seconds after which the browser counts as hanging."""


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Any]:
    """A page, opened as by a double click; it must ask for nothing and complain of nothing."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
    context.set_default_timeout(1000 * PATIENCE)
    page, heard = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    address = path.absolute().as_uri()
    page.on(
        "request",
        lambda asked: (
            asked.url == address or asked.url.startswith("data:") or heard.append(asked.url)
        ),
    )
    page.goto(address)
    yield page
    context.close()
    assert heard == []


def wait_until(page: Any, holds: Callable[[], bool]) -> None:
    """Until something holds that the browser makes at one of its next frames."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def pixels(page: Any, canvas: str) -> np.ndarray:
    """What a canvas shows: uint8 (3, H, W)."""
    code = """id => {
        const canvas = document.getElementById(id);
        const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [height, width, Array.from(data)];
    }"""
    height, width, data = page.evaluate(code, canvas)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3].transpose(2, 0, 1)
