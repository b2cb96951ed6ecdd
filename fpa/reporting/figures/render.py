"""Draws figures from the artifacts in a results folder and saves them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import atomic_path
from fpa.reporting.figures.base import FIGURES, Animation, Spec


def draw(spec: Spec, results: Path) -> None:
    """Write a figure's files; UserError when none of its inputs is there."""
    from fpa.reporting.drawing.theme import as_drawn, save_figure, use_theme

    if spec.inputs and not any((results / part.path).exists() for part in spec.inputs):
        raise UserError(f"{spec.name}: nothing to draw, {spec.inputs[0].path} is missing")
    use_theme()
    spec = replace(spec, models={name: as_drawn(label) for name, label in spec.models.items()})
    drawn = FIGURES.get(spec.kind).draw(spec, results)
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
