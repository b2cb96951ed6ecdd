"""The film of a training: snapshots of the same latents, one frame each."""

from collections.abc import Iterator
from pathlib import Path

from fpa.core import artifacts
from fpa.reporting.description import watched
from fpa.reporting.figures.base import Animation, Context, Spec, register
from fpa.reporting.figures.loading import load

FRAME_SECONDS = 0.4
LAST_FRAME_SECONDS = 3.0


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set and each model that has quick scores."""
    models = watched(context.about)
    for dataset in context.stores:
        for model in models:
            yield context.spec(
                "film",
                dataset,
                model,
                name=f"training_{dataset}_{model}",
                title="film of the training",
                category="Training",
                caption=f"{context.labels[model]} training on {dataset} ({context.training_seed}): "
                "the EMA generator's images of the same latents, one frame a quick score (of a "
                "long training, of every second, third, ...).",
                # A training makes both, but older, cached or imported runs have no snapshots.
                inputs=(
                    *context.first_inputs(artifacts.HISTORY, dataset, [model]),
                    *context.first_inputs(artifacts.SNAPSHOTS, dataset, [model], optional=True),
                ),
                endings=("gif",),
            )


def draw(spec: Spec, results: Path) -> Animation:
    """The film so far; of a finished run without snapshots, one frame that says so."""
    from fpa.reporting.drawing.film import film_frames, note

    found = load(spec.inputs[-1], results)
    if found is None:
        text = "No snapshots: this run\ncame without them."
        return Animation([note(text)], [LAST_FRAME_SECONDS])
    frames = film_frames(found)
    return Animation(frames, [FRAME_SECONDS] * (len(frames) - 1) + [LAST_FRAME_SECONDS])


register("film", specs, draw)
