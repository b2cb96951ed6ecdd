"""Training steps of every model of an experiment, whole and in parts, and their arithmetic limit.

Two copies of a model take steps in turns, one of them in the plain forms. Images are random. The
generator's and the discriminator's part are timed within whole steps.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from arithmetic import limit, record
from measuring import Effort, Row, alternate, clock
from plain_forms import plain_forms
from torch import Tensor

from fpa.models.interface import Model
from fpa.runs.run import Run, build_model

PARTS = ("_generator_step", "_discriminator_step", "_r1_step", "_path_length_step")
"""Methods of models that are timed where a model has them."""
PLAIN_FORMS = {
    "fpa.models:FPA": "sequential painting, attention by unfold",
    "fpa.models:FPAUNet": "sequential painting, attention by unfold",
    "baselines.lightgan:LightGAN": "attention by unfold, depthwise blur",
    "baselines.stylegan2_ada:StyleGAN2ADA": "filters as matrix products, two passes, all images augmented",
}
"""What plain_forms.py changes in a model, by its class."""
Times = dict[str, list[float]]
"""Seconds by part: `whole`, or a method."""


@contextmanager
def timed_parts(model: Model, now: Callable[[], float]) -> Iterator[dict[str, float]]:
    """Within it, the seconds that a step's parts took, by method."""
    taken: dict[str, float] = {}

    def timed(name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            before = now()
            found = part(*arguments)
            taken[name] = now() - before
            return found

        return call

    present = [name for name in PARTS if hasattr(model, name)]
    for name in present:
        setattr(model, name, timed(name, getattr(model, name)))
    try:
        yield taken
    finally:
        for name in present:
            delattr(model, name)


def numbers(model: Any) -> dict[str, int]:
    """Numbers of a step without penalties and, where the model has any, of one with all of them."""
    for name in ("settings", "recipe"):
        settings = getattr(model, name, None)
        if hasattr(settings, "penalty_every"):
            return {"step": 1, "penalised step": settings.penalty_every}
        if hasattr(settings, "r1_every"):
            both = settings.r1_every * settings.path_length_every
            return {"step": both + 1, "penalised step": both}
    return {"step": 1}


def take(model: Any, number: int, real: Tensor, now: Callable[[], float]) -> dict[str, float]:
    """Seconds of the step of this number and of its parts."""
    if hasattr(model, "steps"):
        model.steps = number
    with timed_parts(model, now) as parts:
        before = now()
        model.step(real.clone())
        return {"whole": now() - before, **parts}


def rows(size: str, run: Run, device: torch.device, effort: Effort) -> Iterator[Row]:
    """Of one model: the whole step and its parts, without penalties and with all of them."""
    now, plain = clock(device), PLAIN_FORMS.get(run.model.class_, "")
    contexts = {"ours": nullcontext, **({"plain": plain_forms} if plain else {})}
    models = {}
    for form in contexts:
        torch.manual_seed(run.seed)
        models[form] = build_model(run)
        models[form].to(device)
    shape = (run.training.batch_size, run.dataset.channels, *2 * [run.dataset.resolution])
    real = torch.rand(shape, device=device)
    for kind, number in numbers(models["ours"]).items():

        def step(form: str, number: int = number) -> dict[str, float]:
            with contexts[form]():
                return take(models[form], number, real, now)

        taken = alternate({form: partial(step, form) for form in contexts}, effort, now)
        times = {
            form: {part: [one[part] for one in repeats] for part in repeats[0]}
            for form, repeats in taken.items()
        }
        recorder = record(lambda: step("ours"))
        arithmetic = limit(recorder, now), recorder.flops / 1e9
        for part, work in works(kind, times["ours"]).items():
            row = Row("training", size, run.model.name, work, str(device))
            row.threads, row.ours = torch.get_num_threads(), times["ours"][part]
            if plain:
                row.plain, row.plain_form = times["plain"][part], plain
            if part == "whole":
                row.limit, row.gflop = arithmetic
            yield row


def works(kind: str, times: Times) -> dict[str, str]:
    """What the measured parts of a step are called; of a penalised one, those that penalties are in."""
    if kind == "step":
        named = {
            "whole": "step",
            "_generator_step": "generator step",
            "_discriminator_step": "discriminator step",
        }
    else:
        # R1 is a step of its own in StyleGAN2, and part of the discriminator's in other recipes.
        penalty = "_r1_step" if "_r1_step" in times else "_discriminator_step"
        named = {
            "whole": "step with penalties",
            penalty: "penalty step",
            "_path_length_step": "path length step",
        }
    return {part: work for part, work in named.items() if part in times}
