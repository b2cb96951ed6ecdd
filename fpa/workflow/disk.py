"""How much room an experiment takes: bytes of each kind of file, and how many at the peak.

An estimate from shapes alone, before anything runs. Tables, figures and logs, some megabytes, are
not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fpa.core import artifacts
from fpa.core.files import read_json
from fpa.data.sources import SOURCES, DatasetSpec, store_name
from fpa.evaluation.extractors import find_extractor
from fpa.evaluation.protocols import CHECK, Space
from fpa.experiment.plan import Plan
from fpa.runs.run import Run
from fpa.training.checkpoint import KEEP

FLOAT = 4
CLASSES = 1_008
"""Logits of a network that has them; EfficientNet-Lite0 has eight fewer."""


@dataclass(frozen=True)
class Disk:
    """Bytes of an experiment's files by kind."""

    kept: dict[str, int]
    """What stays: archives, prepared images, real features, finished runs, samples shown."""
    training: int
    """While a run is trained: its checkpoints, and one more while it is written."""
    scoring: int
    """While a run is scored: its samples and their features."""

    def peak(self, together: int) -> int:
        """When all else is done and so many runs are trained, and as many scored, at a time."""
        return sum(self.kept.values()) + together * (self.training + self.scoring)


def estimate(experiment: Plan) -> Disk:
    """The room that an experiment takes; builds each model without memory for its weights."""
    counts = {name: _images(experiment, name, spec) for name, spec in experiment.datasets.items()}
    # Planning imports no torch; only this question needs the models themselves.
    from fpa.training.room import of_run

    sizes = {key: of_run(run) for key, run in _kinds_of_runs(experiment).items()}
    spaces = _spaces(experiment)
    widths = sum(_width(space, logits=False) for space in spaces)
    pixels = {
        name: spec.channels * spec.resolution**2 for name, spec in experiment.datasets.items()
    }
    scored = experiment.sample_count
    first = experiment.config.seeds[0]
    return Disk(
        {
            "archives": sum(_archives(experiment)),
            "prepared images": sum(counts[name] * pixels[name] for name in counts),
            "features of real images": sum(counts.values()) * widths * FLOAT,
            "finished runs": sum(sizes[_kind(run)][0] for run in experiment.all_runs()),
            "samples shown": sum(
                experiment.shown_count * pixels[run.dataset.name]
                for run in experiment.runs
                if run.seed == first
            ),
        },
        max(state for _, state in sizes.values()) * (KEEP + 1),
        scored * (max(pixels.values()) + FLOAT * sum(_width(space, True) for space in spaces)),
    )


def _archives(experiment: Plan) -> Iterator[int]:
    """Each archive once: as large as it is, or as it is said to be."""
    for path, source in {
        spec.path: SOURCES[spec.source] for spec in experiment.datasets.values()
    }.items():
        if path is not None and Path(path).expanduser().is_file():
            yield Path(path).expanduser().stat().st_size
        elif source.size:
            yield round(float(source.size.removesuffix(" GB")) * 1e9)


def _images(experiment: Plan, name: str, spec: DatasetSpec) -> int:
    """Images of a data set: those expected, or those prepared, or none that are known of."""
    manifest = experiment.data / artifacts.store_manifest(store_name(spec))
    if spec.count is None and manifest.exists():
        return int(read_json(manifest)["count"])
    return spec.count or 0


def _spaces(experiment: Plan) -> set[Space]:
    """Every feature space that the experiment's scores need."""
    spaces = {protocol.space for protocol in experiment.by_features}
    if experiment.evaluation.cross_check:
        spaces |= {s for p in experiment.by_features for s in p.checked_spaces}
    return spaces


def _width(space: Space, logits: bool) -> int:
    """Numbers that are stored of an image."""
    network, _ = find_extractor(space.extractor, "protocol")
    return network.features + CLASSES * (
        logits and space.resize == CHECK and len(network.layers) > 1
    )


def _kind(run: Run) -> tuple[str, int, int]:
    return run.model.name, run.dataset.resolution, run.dataset.channels


def _kinds_of_runs(experiment: Plan) -> dict[tuple[str, int, int], Run]:
    """One run of every size."""
    return {_kind(run): run for run in experiment.all_runs()}
