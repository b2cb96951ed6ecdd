"""Draws a figure of the catalogue from the artifacts that are there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fpa.common.errors import UserError
from fpa.common.files import atomic_path, load_array
from fpa.reporting import anatomy, curves, pictures
from fpa.reporting.catalogue import Input, Spec
from fpa.reporting.theme import model_colours, save_figure, use_theme


def draw(spec: Spec, results: Path) -> None:
    """Write a figure's files; UserError when nothing of what it shows is there."""
    if not any((results / part.path).exists() for part in spec.inputs):
        raise UserError(f"{spec.name}: nothing to draw, {spec.inputs[0].path} is missing")
    if spec.kind == "animation":
        _animate(spec, results)
        return
    use_theme()
    save_figure(DRAWERS[spec.kind](spec, results), results / "figures" / spec.name)


def draw_missing(specs: Mapping[str, Spec], results: Path) -> dict[str, str]:
    """Draw what is not there or may be out of date; why the others could not be drawn, by name."""
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
    inputs = [results / "experiment.json", *(results / part.path for part in spec.inputs)]
    # Without all inputs nobody knows what an older figure was drawn from.
    if not all(path.exists() for path in [*files, *inputs]):
        return False
    oldest = min(file.stat().st_mtime_ns for file in files)
    return all(path.stat().st_mtime_ns <= oldest for path in inputs)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file as we write them: only nothing is missing, and the status 'nan' is a word."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _load(part: Input, results: Path) -> Any:
    """An input's array (or arrays by name, or table); None where it is missing."""
    path = results / part.path
    if not path.exists():
        return None
    if path.suffix == ".csv":
        return read_table(path)
    found = load_array(path)
    if isinstance(found, np.ndarray):
        return found
    with found:
        return dict(found)


def _needed(part: Input, results: Path) -> Any:
    found = _load(part, results)
    if found is None:
        raise UserError(f"cannot draw without {results / part.path}; is its run finished?")
    return found


def _by_model(spec: Spec, results: Path) -> dict[str, Any]:
    return {part.model: _load(part, results) for part in spec.inputs}


def _histories(spec: Spec, results: Path) -> curves.Histories:
    loaded = ((part, _load(part, results)) for part in spec.inputs)
    return [(part.model, part.seed, history) for part, history in loaded if history is not None]


def _painting(spec: Spec, results: Path) -> Any:
    return pictures.painting_strips(_needed(spec.inputs[0], results), **spec.options)


def _keys(spec: Spec, results: Path) -> Any:
    return anatomy.keys_and_values(_needed(spec.inputs[0], results), **spec.options)


def _dynamics(spec: Spec, results: Path) -> Any:
    strokes, many = (_needed(part, results) for part in spec.inputs)
    colour = model_colours(list(spec.models))[spec.options["model"]]
    return anatomy.dynamics(strokes, many, spec.options["paintings"], colour)


def _refined(spec: Spec, results: Path) -> Any:
    strokes = _needed(spec.inputs[0], results)
    return pictures.before_after(strokes, range(len(strokes["image"])))


def _steps(spec: Spec, results: Path) -> Any:
    found: dict[str, dict[str, Any]] = {}
    for part in spec.inputs:
        found.setdefault(part.dataset, {})[part.model] = _load(part, results)
    return anatomy.step_statistics(found, spec.models)


def _samples(spec: Spec, results: Path) -> Any:
    grids = _by_model(spec, results)
    return pictures.sample_grids(grids, {"": "real", **spec.models}, spec.options["count"])


def _interpolation(spec: Spec, results: Path) -> Any:
    return pictures.interpolations(_by_model(spec, results), spec.models)


def _neighbours(spec: Spec, results: Path) -> Any:
    return pictures.neighbours(_by_model(spec, results), spec.models)


def _scores(spec: Spec, results: Path) -> Any:
    scores = _needed(spec.inputs[0], results)
    return curves.score_panels(scores, spec.options["seeds"], spec.models)


def _ablation(spec: Spec, results: Path) -> Any:
    scores = _needed(spec.inputs[0], results)
    return curves.metric_over_steps(scores, spec.options["steps"], spec.models)


def _progress(spec: Spec, results: Path) -> Any:
    return curves.progress(_histories(spec, results), spec.models, spec.options["extractor"])


def _curves(spec: Spec, results: Path) -> Any:
    return curves.training_curves(_histories(spec, results), spec.models)


DRAWERS = {
    "painting": _painting,
    "keys": _keys,
    "dynamics": _dynamics,
    "refined": _refined,
    "steps": _steps,
    "samples": _samples,
    "interpolation": _interpolation,
    "neighbours": _neighbours,
    "scores": _scores,
    "ablation": _ablation,
    "progress": _progress,
    "curves": _curves,
}


def _animate(spec: Spec, results: Path) -> None:
    strokes = _needed(spec.inputs[0], results)
    frames = pictures.painting_frames(strokes, range(len(strokes["keys"])))
    times = [pictures.FRAME_SECONDS] * (len(frames) - 1) + [pictures.LAST_FRAME_SECONDS]
    with atomic_path(results / spec.files[0]) as path:
        frames[0].save(
            path,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[round(1000 * seconds) for seconds in times],
            loop=0,
        )
