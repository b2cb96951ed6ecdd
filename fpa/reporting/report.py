"""The report: tables, figures and the painters in one HTML file."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
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
from fpa.reporting.player import Player, players
from fpa.reporting.results import Results, read_results, read_table, status_of
from fpa.reporting.tables import PUBLISHED, build, health, makeable, read_published, table_names
from fpa.reporting.tables.rendering import Rows, to_rows
from fpa.runs.folder import RunFolder, TrainingSummary

PLAYER_SCRIPTS = (
    *("tensors.js", "programs.js", "sequences.js", "rules.js", "unet.js", "latents.js"),
    *("painting.js", "painter.js", "drawing.js", "editor.js", "controls.js", "player.js"),
)
"""The player's scripts, each of one subject, in the order in which they need one another."""
MEDIA = {".png": "image/png", ".gif": "image/gif"}


def render(
    experiment: Experiment, specs: Mapping[str, Spec], folder: Path, not_drawn: Mapping[str, str]
) -> str:
    """The page of what is in a results folder; the same folder gives the same page."""
    published = Path(experiment.config.published or PUBLISHED)
    # A folder from another machine has come without it.
    known = read_published(published) if published.exists() else None
    results = read_results(experiment, folder, known)
    runs = [_run(run, folder) for run in experiment.runs]
    tables = {table.name: table for table in _tables(experiment, results, folder)}
    repeated = [name for name, table in tables.items() if "scores" in tables and table.repeats]
    return template("report.html").render(
        experiment=experiment,
        scripts=("tables.js", *PLAYER_SCRIPTS),
        **PlayerPart.of(experiment, specs, folder)._asdict(),
        config=yaml.safe_dump(experiment.configuration(), sort_keys=False, allow_unicode=True),
        labels=experiment.labels,
        runs=runs,
        notes=_notes(experiment, runs, results),
        versions=_versions(runs),
        claims=tables.pop("claims", None),
        tables=[table for name, table in tables.items() if name not in repeated],
        repeated=repeated,
        figures=_plates(specs, folder, not_drawn),
    )


def render_painters(experiment: Experiment, specs: Mapping[str, Spec], folder: Path) -> str:
    """A page with the report's painters alone, to be embedded in others."""
    part = PlayerPart.of(experiment, specs, folder)
    return template("painters.html").render(scripts=PLAYER_SCRIPTS, **part._asdict())


def template(name: str) -> jinja2.Template:
    """A page's template, which escapes all that is put into it."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("fpa", "web"),
        autoescape=jinja2.select_autoescape(default=True, default_for_string=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


class PlayerPart(NamedTuple):
    """What the player's part of a page shows."""

    players: Sequence[Player]
    player_title: str
    painting_here: int
    """How many of the painters the page itself runs."""

    @classmethod
    def of(cls, experiment: Experiment, specs: Mapping[str, Spec], folder: Path) -> PlayerPart:
        found = players(experiment, specs, folder)
        here = sum(player.weights is not None for player in found)
        return cls(found, "Paint it yourself" if here else "Watch it paint", here)


class RunRow(NamedTuple):
    """A run in the table of runs."""

    run: RunEntry
    state: str
    summary: TrainingSummary | None
    """Of a trained one."""
    machine: str


def _run(run: RunEntry, folder: Path) -> RunRow:
    status, reason = status_of(run, folder)
    summary = RunFolder(folder / run.folder).read_summary() if status == "ok" else None
    hardware = summary.hardware if summary else {}
    machine = f"{processor(hardware)}, {cpu_threads(hardware['threads'])}" if hardware else ""
    state = "trained" if status == "ok" else f"{status}: {reason}"
    return RunRow(run, state, summary, machine or "not known")


def _notes(experiment: Experiment, runs: Sequence[RunRow], results: Results) -> list[str]:
    """What a reader needs to know before the numbers."""
    notes = []
    unfinished = [row for row in runs if row.summary is None]
    if unfinished:
        notes.append(
            f"Partial results: {len(unfinished)} of {len(runs)} runs are not finished. "
            "Tables and figures show what there is."
        )
        notes += [
            f"{results.label(run.model)} on {run.dataset}, seed {run.seed}: {state}"
            for run, state, _, _ in unfinished
        ]
    for score in results.scores:
        if score.status == "nan":
            notes.append(
                f"{results.label(score.model)} on {score.dataset}, seed {score.seed}: its scores "
                f"are NaN (protocol {score.protocol}): "
                + (
                    f"{score.not_finite:,} of {score.n_fake:,} images are not finite"
                    if score.not_finite
                    else "its images have no finite features"
                )
            )
    notes += health.notes(results)
    if len(experiment.config.seeds) == 1:
        notes.append(
            "One training seed a model: ± and error bars are standard errors of sampling from the "
            "same trained model. Another training can differ by several times as much, so these "
            "scores do not tell which model is better."
        )
    return notes


def _versions(runs: Sequence[RunRow]) -> dict[str, list[str]]:
    """Every version of each library that a training ran with."""
    found: dict[str, set[str]] = {}
    for row in runs:
        for name, version in (row.summary.versions if row.summary else {}).items():
            found.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in sorted(found.items())}


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


def _tables(experiment: Experiment, results: Results, folder: Path) -> list[TablePart]:
    """Each table whose CSV file is there; those of others than the experiment's have no layout."""
    paths = sorted((folder / artifacts.table("any")).parent.glob("*.csv"))
    # The experiment's tables come first, others follow by name.
    rank = {name: i for i, name in enumerate(table_names())}
    paths.sort(key=lambda path: rank.get(path.stem, len(rank)))
    own = makeable(experiment, folder)
    found = []
    for path in paths:
        name, frame = path.stem, read_table(path)
        caption, shown = "", Rows([], [])
        if name in own:
            made = build(name, results)
            caption, shown = made.whole_caption(""), to_rows(made.shown)
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

    name: str
    title: str
    caption: str
    lines: bool
    film: bool
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
        aspects = [text for aspect, text in spec.labels.items() if aspect != "figure"]
        title = ", ".join([spec.labels["figure"], *aspects])
        source, width = None, 100
        if path.exists() and name not in not_drawn:
            content = base64.b64encode(path.read_bytes()).decode()
            source = f"data:{MEDIA[path.suffix]};base64,{content}"
            with open_picture(path.read_bytes()) as picture:
                width = min(100, round(100 * picture.width / (TEXT_WIDTH * DPI)))
        found[spec.category].append(
            Plate(
                name=name,
                title=title[0].upper() + title[1:],
                caption=spec.caption,
                lines=spec.lines,
                film="gif" in spec.endings,
                source=source,
                width=width,
                reason=not_drawn.get(name, "it has not been drawn"),
            )
        )
    return found
