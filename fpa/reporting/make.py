"""Makes tables, figures and the report from what lies in a results folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError, did_you_mean
from fpa.core.files import atomic_path, write_text
from fpa.core.progress import log
from fpa.evaluation.scores import Score
from fpa.experiment.experiment import Experiment
from fpa.reporting.figures import FIGURES, Animation, Spec, figures
from fpa.reporting.figures.theme import as_drawn, save_figure, use_theme
from fpa.reporting.report import render
from fpa.reporting.results import Results, read_results, read_runs
from fpa.reporting.tables import PUBLISHED, Made, build, makeable, read_published, table_of
from fpa.reporting.tables.rendering import to_latex, to_markdown
from fpa.runs.folder import Cost


def results_of_files(
    kind: str, inputs: Sequence[str], folder: str | None, published: str | None
) -> Results:
    """What a table is made from: score files or cost files, or, of runs, all that lies in the results folder.

    folder: where the experiment is described, for names as shown. published: a CSV of published scores.
    """
    of = table_of(kind).of
    places = [os.path.realpath(path) for path in inputs]
    for path, place in zip(inputs, places, strict=True):
        if places.count(place) > 1:
            raise UserError(
                f"{path} is named twice; a table would show it as two trainings: name it once"
            )
    experiment = Experiment.read(folder) if folder else None
    results = Results.of(experiment, read_published(published) if published else None)
    if of == "runs":
        if experiment is None or folder is None or inputs:
            raise UserError(
                f"the table {kind} takes no files; name the experiment's folder by --results"
            )
        results = replace(results, runs=read_runs(experiment, Path(folder)))
    elif of == "costs":
        results = replace(results, costs=[Cost.read(path) for path in inputs])
    else:
        results = replace(results, scores=[Score.read(path) for path in inputs])
        for (one, a), (two, b) in combinations(zip(inputs, results.scores, strict=True), 2):
            if _of_one_training(a, b):
                raise UserError(
                    f"{one} and {two} are scores of one training, which a table would show as two; "
                    "name one of them"
                )
            if unlike := _measured_in_two_ways(a, b):
                raise UserError(
                    f"{one} and {two} are both of {a.dataset} at {a.resolution} px by protocol "
                    f"{a.protocol}, but {unlike}; a table would show them as alike: name scores that are"
                )
    if not (results.runs or results.costs or results.scores):
        raise UserError(f"nothing to make the table {kind} of; name files, in row order")
    return results


def _of_one_training(one: Score, two: Score) -> bool:
    """Whether two scores are of the same samples of the same training, measured in the same way."""
    keys = (
        *("dataset", "resolution", "model", "seed", "run", "protocol", "extractor", "checkpoint"),
        *("n_fake", "n_real", "fake_sha256", "real_sha256", "reference_sha256", "settings"),
    )
    return all(getattr(one, key) == getattr(two, key) for key in keys)


def _measured_in_two_ways(one: Score, two: Score) -> str:
    """How scores that one column of a table would hold differ in what they are of; empty if they do not."""
    if (one.dataset, one.resolution, one.protocol) != (two.dataset, two.resolution, two.protocol):
        return ""
    keys = ["extractor", "resize", "format", "weights_sha256"]
    if one.model == two.model:
        # A mean is taken of these.
        keys += ["checkpoint", "n_fake", "n_real", "real_sha256", "reference_sha256"]
    for key in keys:
        a, b = getattr(one, key), getattr(two, key)
        if a != b and None not in (a, b):
            return f"{key} is {a} and {b}"
    return ""


def make_table(kind: str, results: Results, out: str | Path) -> str:
    """Write a table beside `out` (.csv, .md and .tex) where it changed; its Markdown."""
    if kind == "claims" and not results.claims:
        raise UserError(
            "no claim is about the models of this experiment; name a file of claims in its "
            "configuration, as in 'claims: experiments/claims.yaml'"
        )
    return _write_table(build(kind, results), results.experiment, Path(out))


def _write_table(made: Made, experiment: str, out: Path) -> str:
    caption = made.whole_caption(experiment)
    texts = {
        ".md": to_markdown(made.shown, caption),
        ".tex": to_latex(made.shown, caption),
        ".csv": made.frame.to_csv(index=False),
    }
    for ending, text in texts.items():
        path = out.with_suffix(ending)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    return texts[".md"]


def make_tables(
    experiment: Experiment, folder: Path, as_is: bool = False
) -> tuple[Results, dict[str, Made]]:
    """Every table that has an entry, with words for the runs that have no score, and what they are of.

    They are written into the results folder, unless `as_is`: then the list of published scores may be
    missing too, as it is where a folder has come from another machine.
    """
    published = Path(experiment.config.published or PUBLISHED)
    known = None if as_is and not published.exists() else read_published(published)
    results = read_results(experiment, folder, known)
    made = {kind: build(kind, results) for kind in makeable(experiment, folder)}
    if not as_is:
        for kind, table in made.items():
            _write_table(table, experiment.name, folder / artifacts.table(kind))
    return results, made


def make_figure(results: str | Path, name: str) -> None:
    """Draw one figure of the experiment in a results folder; UserError when it has none so named."""
    specs = figures(Experiment.read(results))
    if name not in specs:
        raise UserError(f"there is no figure '{name}'{did_you_mean(name, [*specs])}")
    draw(specs[name], Path(results))


def draw(spec: Spec, results: Path) -> None:
    """Write a figure's files; UserError when none of its inputs is there."""
    if spec.inputs and not any((results / part.path).exists() for part in spec.inputs):
        raise UserError(f"{spec.name}: nothing to draw, {spec.inputs[0].path} is missing")
    use_theme("".join(spec.models.values()))
    spec = replace(spec, models={name: as_drawn(label) for name, label in spec.models.items()})
    drawn = FIGURES.find(spec.kind).draw(spec, results)
    files = [results / file for file in spec.files]
    if not isinstance(drawn, Animation):
        save_figure(drawn, files)
        return
    first, *others = drawn.frames
    times = [round(1000 * seconds) for seconds in drawn.seconds]
    with atomic_path(files[0]) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=others, duration=times, loop=0)


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
    inputs += [
        path for part in spec.inputs if (path := results / part.path).exists() or not part.optional
    ]
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
    folder = Path(results)
    experiment = Experiment.read(folder)
    specs = figures(experiment)
    found, tables = make_tables(experiment, folder, as_is)
    not_drawn = {} if as_is else draw_missing(specs, folder)
    for name, reason in not_drawn.items():
        log.warning("%s is not drawn: %s", name, reason)
    path = Path(out or folder / artifacts.REPORT)
    write_text(path, render(experiment, found, tables, specs, folder, not_drawn))
    return path
