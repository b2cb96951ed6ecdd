"""Makes tables, figures and the report from what lies in a results folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError, did_you_mean
from fpa.core.files import atomic_path, write_text
from fpa.core.progress import log
from fpa.reporting.description import (
    Description,
    claimed,
    labels,
    read_description,
    target_distance,
)
from fpa.reporting.figures import FIGURES, Animation, Spec, figures
from fpa.reporting.figures.theme import as_drawn, save_figure, use_theme
from fpa.reporting.report import render
from fpa.reporting.state import table_entries
from fpa.reporting.tables import PUBLISHED, read_published, table_names
from fpa.reporting.tables.build import build
from fpa.reporting.tables.request import Request
from fpa.reporting.tables.writing import to_latex, to_markdown

__all__ = [
    "draw",
    "draw_missing",
    "make_figure",
    "make_report",
    "make_table",
    "make_tables",
    "read_description",
]


def make_table(
    kind: str,
    entries: Sequence[Mapping[str, Any]],
    description: Description | None,
    published_path: str | Path | None,
    out: str | Path,
) -> str:
    """Write a table beside `out` (.csv, .md and .tex) where it changed; its Markdown.

    kind: a metric's name, `scores`, `comparisons` or `claims` (entries: the contents of score files), `models`
    (of cost files), or one of OF_RUNS (what `run_entries` gives). Without the experiment's
    description, models are shown by their names.
    """
    published = read_published(published_path) if published_path else None
    shown_names = labels(description) if description else {}
    experiment = description["experiment"] if description else ""
    claims = claimed(description) if description else []
    if kind == "claims" and not claims:
        raise UserError(
            "no claim is about the models of this experiment; name a file of claims in its "
            "configuration, as in 'claims: experiments/claims.yaml'"
        )
    target = target_distance(description)
    frame, shown, caption = build(
        Request(kind, entries, shown_names, experiment, published, claims, target)
    )
    texts = {
        ".md": to_markdown(shown, caption),
        ".tex": to_latex(shown, caption),
        ".csv": frame.to_csv(index=False),
    }
    for ending, text in texts.items():
        path = Path(out).with_suffix(ending)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    return texts[".md"]


def make_tables(about: Description, results: Path) -> None:
    """Write every table that has an entry, with words for the runs that have no score."""
    published = about["config"]["published"] or PUBLISHED
    for kind in table_names(about):
        entries = table_entries(about, kind, results)
        if entries:
            make_table(kind, entries, about, published, results / artifacts.table(kind))


def make_figure(results: str | Path, name: str) -> None:
    """Draw one figure of the experiment in a results folder; UserError when it has none so named."""
    specs = figures(read_description(results))
    if name not in specs:
        raise UserError(f"there is no figure '{name}'{did_you_mean(name, [*specs])}")
    draw(specs[name], Path(results))


def draw(spec: Spec, results: Path) -> None:
    """Write a figure's files; UserError when none of its inputs is there."""
    if spec.inputs and not any((results / part.path).exists() for part in spec.inputs):
        raise UserError(f"{spec.name}: nothing to draw, {spec.inputs[0].path} is missing")
    use_theme()
    spec = replace(spec, models={name: as_drawn(label) for name, label in spec.models.items()})
    drawn = FIGURES.find(spec.kind).draw(spec, results)
    if isinstance(drawn, Animation):
        _save_animation(drawn, results / spec.files[0])
    else:
        save_figure(drawn, [results / file for file in spec.files])


def _save_animation(animation: Animation, path: Path) -> None:
    first, *others = animation.frames
    with atomic_path(path) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=[round(1000 * seconds) for seconds in animation.seconds],
            loop=0,
        )


def draw_missing(specs: Mapping[str, Spec], results: Path) -> dict[str, str]:
    """Draw the figures that are missing or out of date; by name, why others could not be drawn."""
    reasons = {}
    for name, spec in specs.items():
        if _is_current(spec, results):
            continue
        try:
            draw(spec, results)
        except UserError as error:
            reasons[name] = str(error)
    return reasons


def _is_current(spec: Spec, results: Path) -> bool:
    """Whether a figure is newer than all that it shows, and than the experiment's description."""
    files = [results / file for file in spec.files]
    inputs = [results / artifacts.EXPERIMENT]
    for part in spec.inputs:
        path = results / part.path
        if path.exists() or not part.optional:
            inputs.append(path)
    # Without all inputs nobody knows what an older figure was drawn from.
    if not all(path.exists() for path in [*files, *inputs]):
        return False
    oldest = min(file.stat().st_mtime_ns for file in files)
    return all(path.stat().st_mtime_ns <= oldest for path in inputs)


def make_report(results: str | Path, out: str | Path | None = None, as_is: bool = False) -> Path:
    """Write the page of the experiment in a results folder; its path.

    Tables and figures that are missing or out of date are made first from what is there, unless
    `as_is`.
    """
    results = Path(results)
    about = read_description(results)
    specs = figures(about)
    not_drawn: dict[str, str] = {}
    if not as_is:
        make_tables(about, results)
        not_drawn = draw_missing(specs, results)
    for name, reason in not_drawn.items():
        log.warning("%s is not drawn: %s", name, reason)
    path = Path(out or results / artifacts.REPORT)
    write_text(path, render(about, specs, results, not_drawn))
    return path
