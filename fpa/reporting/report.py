"""The report: tables, figures and the painters in one HTML file."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from PIL import Image

from fpa.core import artifacts
from fpa.core.errors import cpu_threads
from fpa.core.files import read_json
from fpa.core.provenance import processor
from fpa.evaluation.metrics import METRICS
from fpa.reporting.description import Description, labels
from fpa.reporting.figures import Spec
from fpa.reporting.figures.base import read_table
from fpa.reporting.figures.theme import DPI, TEXT_WIDTH
from fpa.reporting.player import players
from fpa.reporting.state import run_entries, status_of, table_entries
from fpa.reporting.tables import health, table_names
from fpa.reporting.tables.writing import from_markdown

PLAYER_SCRIPTS = (
    *("tensors.js", "programs.js", "sequences.js", "rules.js", "unet.js", "latents.js"),
    *("painting.js", "painter.js", "drawing.js", "editor.js", "controls.js", "player.js"),
)
"""The player's scripts, each of one subject, in the order in which they need one another."""
MEDIA = {".png": "image/png", ".gif": "image/gif"}


def render(
    about: Description, specs: Mapping[str, Spec], results: Path, not_drawn: Mapping[str, str]
) -> str:
    """The page of what is in a results folder; the same folder gives the same page."""
    runs = [_run(run, results) for run in about["runs"]]
    tables = {table["name"]: table for table in _tables(about, results)}
    repeated = [name for name, table in tables.items() if _repeats(table, tables)]
    return _template("report.html").render(
        about=about,
        scripts=("tables.js", *PLAYER_SCRIPTS),
        **_player(about, specs, results),
        config=yaml.safe_dump(about["config"], sort_keys=False, allow_unicode=True),
        labels=labels(about),
        runs=runs,
        notes=_notes(about, runs, results),
        versions=_versions(runs),
        claims=tables.pop("claims", None),
        tables=[table for name, table in tables.items() if name not in repeated],
        repeated=repeated,
        figures=_plates(specs, results, not_drawn),
    )


def render_painters(about: Description, specs: Mapping[str, Spec], results: Path) -> str:
    """A page with the report's painters alone, to be embedded in others."""
    return _template("painters.html").render(
        scripts=PLAYER_SCRIPTS, **_player(about, specs, results)
    )


def _template(name: str) -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("fpa", "web"),
        autoescape=jinja2.select_autoescape(default=True, default_for_string=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def _player(about: Description, specs: Mapping[str, Spec], results: Path) -> dict[str, Any]:
    """What the player's part of a page shows."""
    shown = players(about, specs, results)
    here = sum(player.weights is not None for player in shown)
    return {
        "players": shown,
        "painting_here": here,
        "player_title": "Paint it yourself" if here else "Watch it paint",
    }


def _run(run: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """A run of the description with its state, and its summary if it is trained."""
    status, reason = status_of(run, results)
    summary = results / run["folder"] / artifacts.SUMMARY
    trained = read_json(summary) if status == "ok" else None
    hardware = (trained or {}).get("hardware")
    return {
        **run,
        "state": "trained" if status == "ok" else f"{status}: {reason}",
        "summary": trained,
        "machine": f"{processor(hardware)}, {cpu_threads(hardware['threads'])}"
        if hardware
        else "not known",
    }


def _notes(about: Description, runs: list[dict[str, Any]], results: Path) -> list[str]:
    """What a reader needs to know before the numbers."""
    notes = []
    names = labels(about)
    unfinished = [run for run in runs if run["summary"] is None]
    if unfinished:
        notes.append(
            f"Partial results: {len(unfinished)} of {len(runs)} runs are not finished. "
            "Tables and figures show what there is."
        )
        notes += [
            f"{names[run['model']]} on {run['dataset']}, seed {run['seed']}: {run['state']}"
            for run in unfinished
        ]
    for score in table_entries(about, "scores", results):
        if score["status"] == "nan":
            notes.append(
                f"{names[score['model']]} on {score['dataset']}, seed {score['seed']}: its scores "
                f"are NaN (protocol {score['protocol']}): "
                + (
                    f"{score['not_finite']:,} of {score['n_fake']:,} images are not finite"
                    if score.get("not_finite")
                    else "its images have no finite features"
                )
            )
    notes += health.notes(health.health_frame(run_entries(about, results), ""), names)
    if len(about["config"]["seeds"]) == 1:
        notes.append(
            "One training seed a model: ± and error bars are standard errors of sampling from the "
            "same trained model. Another training can differ by several times as much, so these "
            "scores do not tell which model is better."
        )
    return notes


def _versions(runs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Every version of each library that a training ran with."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for name, version in (run["summary"] or {"versions": {}})["versions"].items():
            found.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _tables(about: Description, results: Path) -> list[dict[str, Any]]:
    """Each table in the paper's layout (from its .md) and whole (from its .csv)."""
    paths = sorted((results / artifacts.table("any")).parent.glob("*.csv"))
    # The experiment's tables come first, others follow by name.
    rank = {name: i for i, name in enumerate(table_names())}
    paths.sort(key=lambda path: rank.get(path.stem, len(rank)))
    tables = [
        {"name": path.stem, **_layout(path.with_suffix(".md")), "all": _rows(path)}
        for path in paths
    ]
    for table in tables:
        # The page's title says it for all of them.
        table["caption"] = table["caption"].replace(f"; experiment {about['experiment']}.", ".")
    return tables


def _repeats(table: Mapping[str, Any], tables: Mapping[str, Any]) -> bool:
    """Whether a table is that of a metric, and the table of all scores holds the same numbers.

    Published values are only in the metric's own.
    """
    if table["name"] not in METRICS or "scores" not in tables:
        return False
    place = table["all"]["head"].index("published")
    return not any(row[place] for row in table["all"]["rows"])


def _layout(path: Path) -> dict[str, Any]:
    """A Markdown file's caption and table."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    table = [
        [from_markdown(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line[:1] == "|"
    ]
    caption = from_markdown(" ".join(line for line in lines if line.strip() and line[:1] != "|"))
    return {"caption": caption, "head": table[0] if table else [], "rows": table[2:]}


def _rows(path: Path) -> dict[str, Any]:
    """A CSV file's columns and rows as text, numbers to five digits, digests to ten."""
    frame = read_table(path)

    def text(value: Any) -> str:
        if isinstance(value, float):
            return "" if np.isnan(value) else f"{value:.5g}" if value % 1 else f"{value:.0f}"
        # Of digests the beginning is enough to find a run.
        return value[:10] if re.fullmatch("[0-9a-f]{64}", str(value)) else str(value)

    return {
        "head": list(frame.columns),
        "rows": [[text(value) for value in row] for row in frame.itertuples(index=False)],
    }


def _plates(
    specs: Mapping[str, Spec], results: Path, not_drawn: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """Figures by category, each as a data URL, or with the reason why it is not there."""
    found: dict[str, list[dict[str, Any]]] = {spec.category: [] for spec in specs.values()}
    # Films, one for each model, stand side by side at a section's end.
    for name, spec in sorted(specs.items(), key=lambda item: "gif" in item[1].endings):
        path = results / spec.files[0]
        aspects = [text for aspect, text in spec.labels.items() if aspect != "figure"]
        title = ", ".join([spec.labels["figure"], *aspects])
        entry: dict[str, Any] = {
            "name": name,
            "title": title[0].upper() + title[1:],
            "caption": spec.caption,
            "lines": spec.lines,
            "film": "gif" in spec.endings,
            "source": None,
        }
        if path.exists() and name not in not_drawn:
            content = base64.b64encode(path.read_bytes()).decode()
            entry["source"] = f"data:{MEDIA[path.suffix]};base64,{content}"
            with Image.open(path) as picture:
                entry["width"] = min(100, round(100 * picture.width / (TEXT_WIDTH * DPI)))
        entry["reason"] = not_drawn.get(name, "it has not been drawn")
        found[spec.category].append(entry)
    return found
