"""A generator in a folder of its own: weights, configuration, a picture of samples, and its card.

The card is a README.md with the front matter that model hubs read.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

import fpa
from fpa.core import artifacts
from fpa.core.errors import UserError, cpu_threads
from fpa.core.files import atomic_path, file_digest, write_bytes, write_text
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.data.sources import SOURCES, Source
from fpa.evaluation import live
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import counted
from fpa.evaluation.sampling import sample
from fpa.evaluation.scores import Estimate, Score
from fpa.models.interface import Model
from fpa.reporting.inspection import contact_sheet
from fpa.reporting.metric_labels import FRECHET, heading, measure
from fpa.reporting.player import read_live
from fpa.reporting.tables.rendering import escape_markdown, one_line, to_markdown
from fpa.runs.folder import RunFolder, TrainingSummary
from fpa.runs.generators import export, export_onnx, restore
from fpa.runs.run import Json, Run

SHOWN = 64
"""Samples in the picture."""
LATENTS = 8
"""That the page begins with."""
LOAD = """\
import fpa

model = fpa.load({folder})
images = fpa.paint(model, 64, seed=0)  # uint8 (64, {channels}, {size}, {size})
"""
PAPER = (
    "Kazuki Irie and Jürgen Schmidhuber: Images as Weight Matrices: Sequential Image Generation "
    "Through Synaptic Learning Rules. ICLR 2023, arXiv:2210.06184"
)


class Exported(NamedTuple):
    """What a card is about."""

    run: Run
    checkpoint: str
    latent_dim: int
    training: TrainingSummary
    """What the finished training was (train.json)."""
    scores: Sequence[Score]
    """The scores of this checkpoint."""
    files: Mapping[str, str]
    """SHA-256 of each file beside the card, by name."""
    licence: str | None = None
    """SPDX identifier that the publisher chose for the weights."""
    onnx_difference: float | None = None
    """Largest difference of a pixel between PyTorch and ONNX, if there is ONNX."""


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
    about = Exported(
        run,
        checkpoint,
        model.latent_dim,
        training,
        scores_of(run_folder, checkpoint) if scores is None else scores,
        {name: file_digest(out / name) for name in names},
        licence,
        difference,
    )
    write_text(out / artifacts.CARD, model_card(about, out.resolve().name))


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


def model_card(about: Exported, folder: str) -> str:
    """The card's text. folder: the name of the export's folder, for the lines that load it."""
    run = about.run
    size, channels = run.dataset.resolution, run.dataset.channels
    # In the front matter, a line of its own could end it.
    title = one_line(f"{run.model.name} on {run.dataset.name}, {size} px, seed {run.seed}")
    source = source_of(run.dataset.source)
    load = LOAD.format(folder=json.dumps(folder), channels=channels, size=size)
    sections = {
        "How to load it": f"```python\n{load}```\n\n"
        f"This needs the Python package `fpa`, version {escape_markdown(fpa.__version__)}. "
        "Nothing in this folder is executed.",
        "Model": _model(about),
        "Data": _data(about, source),
        "Training": _training(about),
        "Scores": _scores(about),
        "Limits": f"It makes images of {size} x {size} px like those that it was trained on, and "
        "was made to compare methods. Whether it repeats training images is shown by the report's "
        "figure of nearest neighbours.",
        "Files": "\n".join(
            f"- `{name}`: SHA-256 `{digest}`" for name, digest in about.files.items()
        ),
        "Citation": f"{escape_markdown(PAPER)}. "
        f"The images: {escape_markdown(source.citation or source.description)}.",
    }
    front = yaml.safe_dump(_front_matter(about, title), sort_keys=False, allow_unicode=True)
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items())
    picture = f"![64 samples, not chosen]({artifacts.CARD_SAMPLES})\n\n*64 samples of seed 0, not chosen.*"
    return f"---\n{front}---\n\n# {escape_markdown(title)}\n\n{picture}\n\n{body}\n"


def source_of(name: str) -> Source:
    """A source of images; of one that no plugin has registered here, only its name is known."""
    return SOURCES[name] if name in SOURCES else Source(description=f"the source '{name}'")


def _front_matter(about: Exported, title: str) -> dict[str, object]:
    dataset = about.run.dataset
    front: dict[str, object] = {
        **({"license": about.licence} if about.licence else {}),
        "library_name": "fpa",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["fast-weight-painter", "gan"],
    }
    results = [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {
                "type": one_line(dataset.name),
                "name": one_line(source_of(dataset.source).description),
            },
            "metrics": [
                {
                    # A hub compares what is called `fid` with Inception's.
                    "type": "frechet_distance" if label == FRECHET else name,
                    "name": one_line(f"{label}, {protocol_in_words(score)}"),
                    "value": estimate.value,
                }
                for name, estimate in score.metrics.items()
                if name in METRICS and not math.isnan(estimate.value)
                for label in [measure(name, [score.extractor])]
            ],
        }
        for score in about.scores
        if score.metrics
    ]
    return {**front, "model-index": [{"name": title, "results": results}]} if results else front


def protocol_in_words(score: Score) -> str:
    """What a score is of: network, resize, files, numbers of images."""
    return f"protocol {score.protocol} ({counted(score.as_json())})"


def _model(about: Exported) -> str:
    model = about.run.model
    parameters = about.training.parameters.get("ema")
    count = f"{parameters:,} parameters" if parameters else "a number of parameters not recorded"
    onnx = ""
    if about.onnx_difference is not None:
        onnx = (
            "\n\nAs ONNX: input `latent` (batch, latent size), standard normal; output `image`, to be "
            "clamped to [0, 1], and of a painter `steps`, the image after every step. Compared with "
            f"PyTorch by onnxruntime: the largest difference of a pixel is {about.onnx_difference:.1e}."
        )
    return (
        f"The EMA generator of `{model.class_}`, {about.checkpoint} checkpoint: "
        f"{count}; latents of size {about.latent_dim}, standard normal.{onnx}\n\n"
        f"```yaml\n{yaml.safe_dump(model.settings, sort_keys=True)}```"
    )


def _data(about: Exported, source: Source) -> str:
    dataset = about.run.dataset
    count = f"{dataset.count:,} images" if dataset.count else "images"
    return "\n".join(
        [
            f"- {escape_markdown(source.description)}",
            f"- {count}, resized to {dataset.resolution} px ({dataset.filter}), "
            f"{'grey' if dataset.channels == 1 else 'RGB'}; "
            f"digest `{about.training.images_sha256 or 'not recorded'}`",
            f"- Licence of the data: {escape_markdown(source.licence or 'not known')}",
        ]
    )


def _training(about: Exported) -> str:
    training, run = about.training, about.run
    if training.official:
        where = [
            f"Imported from a published checkpoint, SHA-256 `{training.official['sha256']}`; where "
            "and for how long it was trained is not recorded"
        ]
    else:
        precision = ", ".join(training.precision) or "float32 throughout"
        where = [
            f"On {escape_markdown(machine(training.hardware))}; precision: {precision}",
            f"Seconds of the last attempt: {training.seconds_of_last_attempt:,.0f}",
        ]
    if run.base:
        where.insert(
            0, f"Starts from the run `{run.base.digest}` ({escape_markdown(run.base.model.name)})"
        )
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    lines = [
        f"{1000 * training.kimg:,.0f} images seen in {training.steps:,} steps of "
        f"{run.training.batch_size}, seed {run.seed}",
        *where,
        f"Versions: {escape_markdown(versions)}",
        f"Digest of the run, which covers everything that its weights depend on: `{run.digest}`",
    ]
    return "\n".join(f"- {line}" for line in lines)


def machine(hardware: Json) -> str:
    """A training's machine in words."""
    if not hardware:
        return "a machine not recorded"
    name = processor(hardware, "an unknown processor")
    return f"{hardware['device']}, {name}, {cpu_threads(hardware.get('threads'))}"


def _scores(about: Exported) -> str:
    if not about.scores:
        return f"The {about.checkpoint} checkpoint has not been scored."
    parts = []
    for score in about.scores:
        rows = [
            (
                heading(name, measure(name, [score.extractor]), "x"),
                _number(estimate, name),
                "lower" if METRICS[name].lower_is_better else "higher",
            )
            for name, estimate in score.metrics.items()
            if name in METRICS
        ]
        words = protocol_in_words(score)
        caption = f"{words[0].upper()}{words[1:]}, {score.checkpoint} checkpoint." + (
            "" if score.extractor == "inception_v3" else " Not comparable with Inception's FID."
        )
        if not rows:
            parts.append(f"{escape_markdown(caption)} The score is NaN.")
            continue
        frame = pd.DataFrame(rows, columns=["metric", "value", "better"]).set_index("metric")
        parts.append(to_markdown(frame, caption).rstrip())
    return "\n\n".join(parts)


def _number(estimate: Estimate, metric: str) -> str:
    """A metric's value and standard error of sampling."""
    scale, digits = METRICS[metric].scale, METRICS[metric].digits
    if math.isnan(estimate.value):
        return "not known"
    text = f"{scale * estimate.value:.{digits}f}"
    return text if math.isnan(estimate.error) else f"{text} ± {scale * estimate.error:.{digits}f}"
