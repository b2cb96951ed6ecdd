"""Animated paintings: one frame a step."""

from collections.abc import Iterator
from pathlib import Path

from fpa.reporting.figures.base import SCALING, Animation, Context, Spec, register
from fpa.reporting.figures.loading import load_needed

FRAME_SECONDS = 0.15
LAST_FRAME_SECONDS = 2.0


def specs(context: Context) -> Iterator[Spec]:
    """One for each data set, of the first painter."""
    for model in context.painters[:1]:
        for dataset in context.stores:
            yield context.spec(
                "animation",
                dataset,
                model,
                name=f"painting_{dataset}",
                title="animated paintings",
                category="Paintings",
                caption=f"{context.labels[model]} painting on {dataset} ({context.training_seed}), "
                "one frame a step: the rank-1 update (top), the partial image (bottom). "
                f"{SCALING}",
                inputs=context.traces(dataset, model),
                endings=("gif",),
            )


def draw(spec: Spec, results: Path) -> Animation:
    from fpa.reporting.drawing.pictures import painting_frames

    trace = load_needed(spec.inputs[0], results)
    frames = painting_frames(trace, range(len(trace["image"])))
    return Animation(frames, [FRAME_SECONDS] * (len(frames) - 1) + [LAST_FRAME_SECONDS])


register("animation", specs, draw)
