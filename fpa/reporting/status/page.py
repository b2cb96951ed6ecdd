"""The state of an experiment's runs as a page that reloads itself from disk."""

import base64
import functools
import io
import time
from collections.abc import Sequence
from pathlib import Path

import jinja2
from PIL import Image

from fpa.core.files import load_array
from fpa.reporting.figures.theme import tile
from fpa.reporting.status.reading import RunState
from fpa.reporting.status.text import facts, numbers, summary

COLUMNS = 4


def to_page(
    experiment: str, states: Sequence[RunState], results: Path, every: float | None = None
) -> str:
    """HTML of all runs with their newest snapshots, which reloads itself `every` so many seconds."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fpa", "web"),
        autoescape=jinja2.select_autoescape(default=True, default_for_string=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("status.html").render(
        experiment=experiment,
        summary=summary(experiment, states),
        runs=[_shown(run, results) for run in states],
        every=every and max(1, round(every)),
        written=time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def _shown(run: RunState, results: Path) -> dict[str, object]:
    share = 100 * run.step / run.steps if run.step is not None and run.steps else 0
    return {
        "name": f"{run.label} on {run.dataset}, seed {run.seed}",
        "state": run.state,
        "reason": run.reason,
        "share": round(share, 1),
        "facts": facts(run),
        "numbers": numbers(run),
        "log": run.log,
        "log_lines": run.log_lines,
        "snapshot": newest_snapshot(results / run.snapshots) if run.snapshots else None,
    }


def newest_snapshot(path: Path) -> dict[str, object] | None:
    """The last snapshot of a file as a data URL, with its kimg; None if it cannot be read."""
    try:
        return _newest(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@functools.lru_cache(maxsize=512)
def _newest(path: Path, changed: int) -> dict[str, object] | None:
    """Read anew only when the file has changed."""
    try:
        with load_array(path) as found:
            images, kimg = found["images"][-1], float(found["kimg"][-1])
        sheet = tile(images, COLUMNS).transpose(1, 2, 0)
        picture = Image.fromarray(sheet.squeeze())
    except Exception:
        # Whatever a damaged file leads to: the page is about the others too.
        return None
    file = io.BytesIO()
    picture.save(file, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"source": source, "kimg": f"{kimg:.4g}", "width": picture.width}
