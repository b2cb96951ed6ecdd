"""A generator in a folder of its own: weights, configuration, a picture of samples, and its card.

The card is a README.md with the front matter that model hubs read.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import fpa
from fpa.core import artifacts
from fpa.core.errors import UserError, cpu_threads
from fpa.core.files import atomic_path, file_digest, write_bytes, write_text
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.data.inspection import contact_sheet
from fpa.data.sources import SOURCES, Source
from fpa.evaluation import live
from fpa.evaluation.metrics import FRECHET, METRICS, heading, label_of
from fpa.evaluation.protocols import counted
from fpa.evaluation.sampling import sample
from fpa.evaluation.scores import Score
from fpa.models.interface import Model
from fpa.reporting.player import read_live
from fpa.reporting.report import template
from fpa.reporting.tables.base import cell
from fpa.reporting.tables.rendering import escape_markdown, one_line, to_markdown
from fpa.runs.folder import RunFolder
from fpa.runs.generators import export, export_onnx, restore
from fpa.runs.run import Json, Run

SHOWN = 64
"""Samples in the picture."""
LATENTS = 8
"""That the page begins with."""
EXPORT_FILES = {
    *(artifacts.GENERATOR, artifacts.GENERATOR_CONFIGURATION, artifacts.GENERATOR_ONNX),
    *(artifacts.GENERATOR_PAGE, artifacts.CARD, artifacts.CARD_SAMPLES),
}
"""All that an export can hold."""


def check_place(out: Path) -> None:
    """UserError when a folder for an export holds something else; hidden files may be there."""
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    others = sorted(name for name in names - EXPORT_FILES if not name.startswith("."))
    if others:
        raise UserError(
            f"{out} holds other files ({others[0]}); choose a new folder, or that of an export"
        )


def export_run(
    run_folder: Path,
    checkpoint: str,
    out: Path,
    *,
    onnx: bool = False,
    page: bool = False,
    licence: str | None = None,
    scores: Sequence[Score] | None = None,
) -> None:
    """Write a finished run's EMA generator to the folder `out`, with its card.

    checkpoint: `best` or `last`. onnx: as ONNX too. page: also as the report's page runs it. licence: SPDX
    identifier for the weights. scores: those that the card shows (None: the run's). UserError when the run
    is not finished, has no such checkpoint, or cannot be exported.
    """
    model = restore(run_folder, checkpoint)
    folder = RunFolder(run_folder)
    training = folder.read_summary()
    run = Run.from_json(training.run, folder.summary)
    difference = export_onnx(model, out / artifacts.GENERATOR_ONNX) if onnx else None
    if page:
        _write_page(model, out / artifacts.GENERATOR_PAGE)
    export(model, run, checkpoint, out)
    device = next(model.ema.parameters()).device
    images = sample(model.ema, model.latent_dim, SHOWN, 0, device)
    contact_sheet(images, SHOWN, out / artifacts.CARD_SAMPLES)
    names = [
        *(artifacts.GENERATOR, artifacts.GENERATOR_CONFIGURATION, artifacts.CARD_SAMPLES),
        *([artifacts.GENERATOR_ONNX] if onnx else []),
        *([artifacts.GENERATOR_PAGE] if page else []),
    ]
    scores = scores_of(run_folder, checkpoint) if scores is None else scores
    dataset = run.dataset
    # In the front matter, a line of its own could end it.
    title = one_line(
        f"{run.model.name} on {dataset.name}, {dataset.resolution} px, seed {run.seed}"
    )
    card = template("card.md.jinja").render(
        front=_front_matter(run, scores, title, licence),
        title=title,
        folder=json.dumps(out.resolve().name),
        version=fpa.__version__,
        run=run,
        dataset=dataset,
        source=source_of(dataset.source),
        training=training,
        machine=machine,
        checkpoint=checkpoint,
        latent_dim=model.latent_dim,
        onnx_difference=difference,
        scores=[_table(score) for score in scores],
        files={name: file_digest(out / name) for name in names},
    )
    write_text(out / artifacts.CARD, card)


def _write_page(model: Model, path: Path) -> None:
    """A painter as the report's page runs it; UserError when the page cannot."""
    with atomic_path(path) as temporary:
        write_bytes(temporary, live.pack(model, LATENTS, 0))
        about, _ = read_live(temporary)
        if about["left_out"]:
            raise UserError(f"the page cannot run it: {about['left_out']}; leave --page out")


def scores_of(run_folder: Path, checkpoint: str) -> list[Score]:
    """A run's scores of one checkpoint, the newest of each protocol."""
    paths = sorted(run_folder.glob("score-*.json"), key=lambda path: path.stat().st_mtime_ns)
    scores = {
        score.protocol: score for score in map(Score.read, paths) if score.checkpoint == checkpoint
    }
    return [scores[name] for name in sorted(scores)]


# The card -------------------------------------------------------------------------------------


def source_of(name: str) -> Source:
    """A source of images; of one that no plugin has registered here, only its name is known."""
    return SOURCES[name] if name in SOURCES else Source(description=f"the source '{name}'")


def _front_matter(
    run: Run, scores: Sequence[Score], title: str, licence: str | None
) -> dict[str, object]:
    """What model hubs read."""
    task = "unconditional-image-generation"
    front: dict[str, object] = {"license": licence} if licence else {}
    front |= {"library_name": "fpa", "pipeline_tag": task, "tags": ["fast-weight-painter", "gan"]}
    dataset = {
        "type": one_line(run.dataset.name),
        "name": one_line(source_of(run.dataset.source).description),
    }
    results = [
        {"task": {"type": task}, "dataset": dict(dataset), "metrics": _metrics(score)}
        for score in scores
        if score.metrics
    ]
    return {**front, "model-index": [{"name": title, "results": results}]} if results else front


def _metrics(score: Score) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name, estimate in score.metrics.items():
        if name in METRICS and not math.isnan(estimate.value):
            label = label_of(name, [score.extractor])
            # A hub compares what is called `fid` with Inception's.
            kind = "frechet_distance" if label == FRECHET else name
            words = one_line(f"{label}, protocol {_protocol(score)}")
            found.append({"type": kind, "name": words, "value": estimate.value})
    return found


def _protocol(score: Score) -> str:
    return f"{score.protocol} ({counted(score.as_json())})"


def _table(score: Score) -> str:
    """A score's metrics as Markdown under a caption."""
    caption = f"Protocol {_protocol(score)}, {score.checkpoint} checkpoint."
    if score.extractor != "inception_v3":
        caption += " Not comparable with Inception's FID."
    rows = [
        {
            "metric": heading(name, [score.extractor]),
            "value": cell(*estimate, name, unknown="not known"),
            "better": "lower" if METRICS[name].lower_is_better else "higher",
        }
        for name, estimate in score.metrics.items()
        if name in METRICS
    ]
    if not rows:
        return f"{escape_markdown(caption)} The score is NaN."
    return to_markdown(pd.DataFrame(rows).set_index("metric"), caption).rstrip()


def machine(hardware: Json) -> str:
    """A training's machine in words."""
    if not hardware:
        return "a machine not recorded"
    name = processor(hardware, "an unknown processor")
    return f"{hardware['device']}, {name}, {cpu_threads(hardware.get('threads'))}"
