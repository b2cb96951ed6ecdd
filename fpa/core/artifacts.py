"""Where every artifact lies: the one place that knows their file names.

The workflow's rules build their patterns from these functions too, with wildcards such as
"{number}" in place of values: everything here only puts text together.
"""

from collections.abc import Sequence
from pathlib import Path

# Below the data folder -----------------------------------------------------------------------

IMAGES = "images.npy"
"""A prepared data set: uint8 (N, C, H, W), in the store's folder."""
MANIFEST = "manifest.json"
"""What a prepared data set holds, in the store's folder."""
UNREADABLE = "unreadable.json"
"""Images that could not be read, in the store's folder."""


def archive(name: str) -> str:
    """An official archive, below the data folder."""
    return f"archives/{name}"


def store_images(store: str) -> str:
    return f"{store}/{IMAGES}"


def store_manifest(store: str) -> str:
    return f"{store}/{MANIFEST}"


def real_features(store: str, space: object) -> str:
    return f"{store}/features.{space}.npy"


def real_radii(store: str, space: object, most: object, seed: object) -> str:
    """Radii of a random subset of at most so many of a data set's images, below the data folder."""
    return f"{store}/radii.{space}.n{most}-seed{seed}.npz"


def extractor(name: str) -> str:
    """The description of a feature extractor whose weights were found, below the data folder."""
    return f"extractors/{name}.json"


# Below the results folder --------------------------------------------------------------------

EXPERIMENT = "experiment.json"
"""What a results folder holds: the experiment's description."""
REPORT = "report.html"
BUNDLE = "bundle.tar.gz"
LOGS = "logs"


def table(name: str, ending: str = "csv") -> str:
    return f"tables/{name}.{ending}"


def figure(name: str, ending: str = "png") -> str:
    """A figure (png, pdf or gif)."""
    return f"figures/{name}.{ending}"


def real_samples(store: str, count: object) -> str:
    return f"real/{store}-{count}.npy"


def run_folder(dataset: str, model: str, run: str) -> str:
    """The folder of a run; `run` as `run_name` gives it."""
    return f"runs/{dataset}/{model}/{run}"


def run_name(seed: int, digest: str) -> str:
    """A run's own part of its folder's name."""
    return f"seed{seed}-{digest[:10]}"


def train_log(dataset: str, model: str, run: str) -> str:
    return f"{LOGS}/train/{dataset}-{model}-{run}.log"


# In an export's folder -----------------------------------------------------------------------

GENERATOR = "generator.safetensors"
"""The EMA generator's weights."""
GENERATOR_CONFIGURATION = "generator.json"
"""The run that they are of, and their digest."""
GENERATOR_ONNX = "generator.onnx"
GENERATOR_PAGE = "painter.safetensors"
"""The painter as the report's page runs it."""
CARD = "README.md"
"""The model card."""
CARD_SAMPLES = "samples.png"
"""The picture in it."""

# In a run's folder ---------------------------------------------------------------------------

RUN = "run.json"
"""The resolved run."""
WEIGHTS = "weights.safetensors"
"""All networks of a finished run."""
HISTORY = "history.csv"
"""Losses and quick scores over training."""
SUMMARY = "train.json"
"""What a finished training was: its run, steps, machine, versions."""
COST = "cost.json"
"""Parameters, multiply-adds and speed."""
STATE = "state"
"""Folder of checkpoints."""
STATUS = "status.json"
"""What a training says of itself while it runs."""
SNAPSHOTS = "snapshots.npz"
"""Images of the same latents over training."""
KEPT = "finished"
"""In that folder: hard links to a finished training's files."""


def samples(checkpoint: str, count: object, seed: object) -> str:
    return f"samples-{checkpoint}-n{count}-seed{seed}.npy"


def features(checkpoint: str, count: object, seed: object, space: object) -> str:
    """Features of the first `count` generated images."""
    return f"features-{checkpoint}-n{count}-seed{seed}.{space}.npy"


def describing(file: str | Path) -> Path:
    """The .json beside an array of samples or features."""
    return Path(file).with_suffix(".json")


def score(protocol: str, digest: str) -> str:
    """A run's score by a protocol; the digest is of everything that the score depends on."""
    return f"score-{protocol}-{digest[:10]}.json"


def of_generator(
    name: str, checkpoint: str, size: str | Sequence[object], seed: object, ending: str
) -> str:
    """An artifact of a finished generator (fpa.evaluation.run_artifacts); size: how much of it."""
    if not isinstance(size, str):
        size = f"n{size[0]}" if len(size) == 1 else "x".join(map(str, size))
    return f"{name}-{checkpoint}-{size}-seed{seed}.{ending}"


def neighbours(checkpoint: str, count: object, seed: object, space: object) -> str:
    """Samples with their nearest training images."""
    return f"neighbours-{checkpoint}-n{count}-seed{seed}.{space}.npz"
