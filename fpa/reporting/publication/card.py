"""An exported generator's card: a README.md with the front matter that model hubs read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fpa.core import artifacts
from fpa.core.files import read_json
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.core.words import cpu_threads
from fpa.data.sources import SOURCES, Source
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.protocols import counted
from fpa.reporting.measures import FRECHET, heading, measure
from fpa.reporting.tables.writing import escape_markdown, one_line, to_markdown

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

    export: Mapping[str, Any]
    """The export's configuration (generator.json)."""
    training: Mapping[str, Any]
    """What the finished training was (train.json)."""
    scores: Sequence[Mapping[str, Any]]
    """The scores of this checkpoint (score files)."""
    files: Mapping[str, str]
    """SHA-256 of each file beside the card, by name."""
    licence: str | None = None
    """SPDX identifier that the publisher chose for the weights."""
    onnx_difference: float | None = None
    """Largest difference of a pixel between PyTorch and ONNX, if there is ONNX."""


def source_of(dataset: Mapping[str, Any]) -> Source:
    """A run's source of images; of one that no plugin has registered here, only its name is known."""
    name = dataset["source"]
    return SOURCES[name] if name in SOURCES else Source(description=f"the source '{name}'")


def scores_of(run_folder: Path, checkpoint: str) -> list[dict[str, Any]]:
    """A run's scores of one checkpoint, the newest of each protocol."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(run_folder.glob("score-*.json"), key=lambda path: path.stat().st_mtime_ns):
        score = read_json(path)
        if score["checkpoint"] == checkpoint:
            found[score["protocol"]] = score
    return [found[name] for name in sorted(found)]


def model_card(about: Exported, folder: str) -> str:
    """The card's text. folder: the name of the export's folder, for the lines that load it."""
    run = about.export["run"]
    dataset, model = run["dataset"], run["model"]
    size, channels = dataset["resolution"], dataset["channels"]
    # In the front matter, a line of its own could end it.
    title = one_line(f"{model['name']} on {dataset['name']}, {size} px, seed {run['seed']}")
    sections = {
        "How to load it": f"```python\n{LOAD.format(folder=json.dumps(folder), channels=channels, size=size)}```\n\n"
        f"This needs the Python package `fpa`, version {escape_markdown(about.export['versions']['fpa'])}. "
        "Nothing in this folder is executed.",
        "Model": _model(about),
        "Data": _data(about),
        "Training": _training(about),
        "Scores": _scores(about),
        "Limits": f"It makes images of {size} x {size} px like those that it was trained on, and "
        "was made to compare methods. Whether it repeats training images is shown by the report's "
        "figure of nearest neighbours.",
        "Files": "\n".join(
            f"- `{name}`: SHA-256 `{digest}`" for name, digest in about.files.items()
        ),
        "Citation": f"{escape_markdown(PAPER)}. The images: {escape_markdown(_cited(dataset))}.",
    }
    front = yaml.safe_dump(_front_matter(about, title), sort_keys=False, allow_unicode=True)
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items())
    picture = f"![64 samples, not chosen]({artifacts.CARD_SAMPLES})\n\n*64 samples of seed 0, not chosen.*"
    return f"---\n{front}---\n\n# {escape_markdown(title)}\n\n{picture}\n\n{body}\n"


def _front_matter(about: Exported, title: str) -> dict[str, Any]:
    run = about.export["run"]
    dataset = run["dataset"]
    front: dict[str, Any] = {
        **({"license": about.licence} if about.licence else {}),
        "library_name": "fpa",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["fast-weight-painter", "gan"],
    }
    results = [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {
                "type": one_line(dataset["name"]),
                "name": one_line(source_of(dataset).description),
            },
            "metrics": [
                {
                    # A hub compares what is called `fid` with Inception's.
                    "type": "frechet_distance" if label == FRECHET else name,
                    "name": one_line(f"{label}, {protocol_in_words(score)}"),
                    "value": value["value"],
                }
                for name, value in score["metrics"].items()
                if name in METRICS and value["value"] is not None
                for label in [measure(name, [score["extractor"]])]
            ],
        }
        for score in about.scores
        if score["metrics"]
    ]
    return {**front, "model-index": [{"name": title, "results": results}]} if results else front


def protocol_in_words(score: Mapping[str, Any]) -> str:
    """What a score is of: network, resize, files, numbers of images."""
    return f"protocol {score['protocol']} ({counted(score)})"


def _model(about: Exported) -> str:
    run = about.export["run"]
    parameters = about.training["parameters"].get("ema")
    count = f"{parameters:,} parameters" if parameters else "a number of parameters not recorded"
    settings = yaml.safe_dump(run["model"]["settings"], sort_keys=True)
    onnx = ""
    if about.onnx_difference is not None:
        onnx = (
            "\n\nAs ONNX: input `latent` (batch, latent size), standard normal; output `image`, to be "
            "clamped to [0, 1], and of a painter `steps`, the image after every step. Compared with "
            f"PyTorch by onnxruntime: the largest difference of a pixel is {about.onnx_difference:.1e}."
        )
    return (
        f"The EMA generator of `{run['model']['class']}`, {about.export['checkpoint']} checkpoint: "
        f"{count}; latents of size {about.export['latent_dim']}, standard normal.{onnx}\n\n"
        f"```yaml\n{settings}```"
    )


def _data(about: Exported) -> str:
    dataset = about.export["run"]["dataset"]
    source = source_of(dataset)
    count = f"{dataset['count']:,} images" if dataset["count"] else "images"
    return "\n".join(
        [
            f"- {escape_markdown(source.description)}",
            f"- {count}, resized to {dataset['resolution']} px ({dataset['filter']}), "
            f"{'grey' if dataset['channels'] == 1 else 'RGB'}; digest `{about.training['images_sha256'] or 'not recorded'}`",
            f"- Licence of the data: {escape_markdown(source.licence or 'not known')}",
        ]
    )


def _cited(dataset: Mapping[str, Any]) -> str:
    return source_of(dataset).citation or source_of(dataset).description


def _training(about: Exported) -> str:
    training, run = about.training, about.export["run"]
    versions = training["versions"]
    precision = ", ".join(training.get("precision", [])) or "float32 throughout"
    if "official" in training:
        where = [
            f"Imported from a published checkpoint, SHA-256 `{training['official']['sha256']}`; where "
            "and for how long it was trained is not recorded"
        ]
    else:
        where = [
            f"On {escape_markdown(machine(training))}; precision: {precision}",
            f"Seconds of the last attempt: {training['seconds_of_last_attempt']:,.0f}",
        ]
    base = run["base"]
    lines = [
        f"{1000 * training['kimg']:,.0f} images seen in {training['steps']:,} steps of "
        f"{run['training']['batch_size']}, seed {run['seed']}",
        *(
            [f"Starts from the run `{base['digest']}` ({escape_markdown(base['model']['name'])})"]
            if base
            else []
        ),
        *where,
        "Versions: " + escape_markdown(", ".join(f"{k} {v}" for k, v in versions.items())),
        f"Digest of the run, which covers everything that its weights depend on: `{run['digest']}`",
    ]
    return "\n".join(f"- {line}" for line in lines)


def machine(training: Mapping[str, Any]) -> str:
    """A training's machine in words."""
    hardware = training.get("hardware")
    if hardware is None:
        return "a machine not recorded"
    name = processor(hardware, "an unknown processor")
    return f"{hardware['device']}, {name}, {cpu_threads(hardware.get('threads'))}"


def _scores(about: Exported) -> str:
    if not about.scores:
        return f"The {about.export['checkpoint']} checkpoint has not been scored."
    parts = []
    for score in about.scores:
        rows = [
            (
                heading(name, measure(name, [score["extractor"]]), "x"),
                _number(value, name),
                "lower" if METRICS[name].lower_is_better else "higher",
            )
            for name, value in score["metrics"].items()
            if name in METRICS
        ]
        words = protocol_in_words(score)
        caption = f"{words[0].upper()}{words[1:]}, {score['checkpoint']} checkpoint." + (
            "" if score["extractor"] == "inception_v3" else " Not comparable with Inception's FID."
        )
        if not rows:
            parts.append(f"{escape_markdown(caption)} The score is NaN.")
            continue
        frame = pd.DataFrame(rows, columns=["metric", "value", "better"]).set_index("metric")
        parts.append(to_markdown(frame, caption).rstrip())
    return "\n\n".join(parts)


def _number(value: Mapping[str, Any], metric: str) -> str:
    """A metric's value and standard error of sampling."""
    scale, digits = METRICS[metric].scale, METRICS[metric].digits
    if value["value"] is None:
        return "not known"
    text = f"{scale * value['value']:.{digits}f}"
    error = value.get("error")
    return text if error is None else f"{text} ± {scale * error:.{digits}f}"
