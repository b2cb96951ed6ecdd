"""The report: tables, figures and the painters in one HTML file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jinja2
import yaml

from fpa.core import artifacts
from fpa.core.errors import cpu_threads
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.data.picture import open_picture
from fpa.evaluation.metrics import METRICS
from fpa.experiment.experiment import Experiment, RunEntry
from fpa.reporting.figures import Spec
from fpa.reporting.figures.theme import DPI, TEXT_WIDTH
from fpa.reporting.player import players
from fpa.reporting.results import Results, RunResults, by_name, read_table, status_of
from fpa.reporting.tables import Made, health, table_names
from fpa.reporting.tables.rendering import Rows, escape_markdown, to_rows
from fpa.runs.folder import TrainingSummary

PLAYER_SCRIPTS = (
    *("tensors.js", "programs.js", "sequences.js", "rules.js", "unet.js", "latents.js"),
    *("painting.js", "painter.js", "drawing.js", "editor.js", "controls.js", "player.js"),
)
"""The player's scripts, each of one subject, in the order in which they need one another."""


def render(
    experiment: Experiment,
    results: Results,
    tables: Mapping[str, Made],
    specs: Mapping[str, Spec],
    folder: Path,
    not_drawn: Mapping[str, str],
) -> str:
    """The page of what is in a results folder; the same folder gives the same page.

    results: what the folder's runs left. tables: the experiment's, made of these. not_drawn: why, by
    figure.
    """
    runs = [RunRow.of(run, folder) for run in results.runs]
    summaries = [row.summary for row in runs if row.summary]
    parts = {part.name: part for part in _tables(tables, folder)}
    repeated = [name for name, part in parts.items() if "scores" in parts and part.repeats]
    return template("report.html").render(
        experiment=experiment,
        scripts=("tables.js", *PLAYER_SCRIPTS),
        players=players(experiment, specs, folder),
        config=yaml.safe_dump(experiment.configuration(), sort_keys=False, allow_unicode=True),
        labels=experiment.labels,
        runs=runs,
        nan_scores=[score for score in results.scores if score.status == "nan"],
        noticed=health.notes(tables["health"].frame, results) if "health" in tables else [],
        versions=dict(sorted(by_name(summary.versions for summary in summaries).items())),
        claims=parts.pop("claims", None),
        tables=[part for name, part in parts.items() if name not in repeated],
        repeated=repeated,
        figures=_plates(specs, folder, not_drawn),
    )


def render_painters(experiment: Experiment, specs: Mapping[str, Spec], folder: Path) -> str:
    """A page with the report's painters alone, to be embedded in others."""
    found = players(experiment, specs, folder)
    return template("painters.html").render(scripts=PLAYER_SCRIPTS, players=found)


def template(name: str) -> jinja2.Template:
    """A template of HTML or Markdown, which escapes all that is put into it and is not marked `safe`."""
    markdown = ".md" in name
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fpa", "web"),
        autoescape=not markdown,
        finalize=_as_markdown if markdown else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=markdown,
    )
    environment.filters["yaml"] = yaml.safe_dump
    return environment.get_template(name)


def _as_markdown(value: object) -> str:
    return str(value) if hasattr(value, "__html__") else escape_markdown(value)


class RunRow(NamedTuple):
    """A run in the table of runs."""

    run: RunEntry
    state: str
    summary: TrainingSummary | None
    """Of a trained one."""
    machine: str

    @classmethod
    def of(cls, found: RunResults, folder: Path) -> RunRow:
        status, reason = status_of(found.run, folder)
        hardware = found.summary.hardware if found.summary else {}
        machine = f"{processor(hardware)}, {cpu_threads(hardware['threads'])}" if hardware else ""
        state = "trained" if status == "ok" else f"{status}: {reason}"
        return cls(found.run, state, found.summary, machine or "not known")


class TablePart(NamedTuple):
    """A table on the page."""

    name: str
    caption: str
    shown: Rows
    """In the paper's layout."""
    whole: Rows
    """All that its CSV file holds."""
    repeats: bool
    """Whether it is that of a metric, and the table of all scores holds the same numbers:
    published values are only in the metric's own."""


def _tables(tables: Mapping[str, Made], folder: Path) -> list[TablePart]:
    """Each table whose CSV file is there; those of others than the experiment's have no layout."""
    paths = sorted((folder / artifacts.table("any")).parent.glob("*.csv"))
    # The experiment's tables come first, others follow by name.
    rank = {name: i for i, name in enumerate(table_names())}
    paths.sort(key=lambda path: rank.get(path.stem, len(rank)))
    found = []
    for path in paths:
        name, frame = path.stem, read_table(path)
        made = tables.get(name)
        caption = made.whole_caption("") if made else ""
        shown = to_rows(made.shown) if made else Rows([], [])
        repeats = name in METRICS and bool(frame["published"].isna().all())
        found.append(TablePart(name, caption, shown, _whole(frame), repeats))
    return found


def _whole(frame: pd.DataFrame) -> Rows:
    """A CSV table's columns and rows as text, numbers to five digits, digests to ten."""

    def text(value: object) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.5g}" if value % 1 else f"{value:.0f}"
        # Of digests the beginning is enough to find a run.
        return str(value)[:10] if re.fullmatch("[0-9a-f]{64}", str(value)) else str(value)

    rows = [[text(value) for value in row] for row in frame.itertuples(index=False)]
    return Rows(list(frame.columns), rows)


class Plate(NamedTuple):
    """A figure on the page."""

    spec: Spec
    title: str
    source: str | None
    """A data URL, where it is drawn."""
    width: int
    """Percent of the text's, at most."""
    reason: str
    """Why it is not drawn."""


def _plates(
    specs: Mapping[str, Spec], folder: Path, not_drawn: Mapping[str, str]
) -> dict[str, list[Plate]]:
    """Figures by category, each as a data URL, or with the reason why it is not there."""
    found: dict[str, list[Plate]] = {spec.category: [] for spec in specs.values()}
    # Films, one for each model, stand side by side at a section's end.
    for name, spec in sorted(specs.items(), key=lambda item: "gif" in item[1].endings):
        path = folder / spec.files[0]
        title = ", ".join(spec.labels.values())
        source, width = None, 100
        if path.exists() and name not in not_drawn:
            content = base64.b64encode(path.read_bytes()).decode()
            source = f"data:image/{path.suffix[1:]};base64,{content}"
            with open_picture(path.read_bytes()) as picture:
                width = min(100, round(100 * picture.width / (TEXT_WIDTH * DPI)))
        reason = not_drawn.get(name, "it has not been drawn")
        title = title[0].upper() + title[1:]
        found[spec.category].append(Plate(spec, title, source, width, reason))
    return found
