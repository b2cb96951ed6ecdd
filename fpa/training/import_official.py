"""A checkpoint of the paper's public code as a finished run of this package."""

from pathlib import Path
from typing import Any

import torch

from fpa.core.errors import UserError, said_of
from fpa.core.files import digest, file_digest, read_json
from fpa.core.progress import log
from fpa.data.sources import UNKNOWN, DatasetSpec
from fpa.models.adversarial_training import load_optimizer_tensors
from fpa.models.loading import check_settings, find_model, resolve_settings
from fpa.models.official_checkpoints import (
    Checkpoint,
    Imported,
    moments_of,
    read_arguments,
    read_checkpoint,
    state_of,
)
from fpa.runs.folder import Best, History, RunFolder, TrainingResult, TrainingSummary
from fpa.runs.run import Budget, Json, Run, RunModel, build_model
from fpa.training.loop import best_of, kept

NAME = "official"
"""Of model and data set in an imported run, which a configuration calls by its own names."""


def import_official(path: Path, args: Path, out: Path, kimg: float | None = None) -> Run:
    """Make a run of a checkpoint and its args.txt in the folder `out`.

    It holds what any finished run does: run.json, weights.safetensors, history.csv, train.json, and a
    resumable state. kimg: budget of a training that resumes from it, in thousand images, in all; None
    for what it has seen. UserError, with what was wrong, for files that are not such a
    checkpoint, and for a folder that holds a run already.
    """
    folder = RunFolder(out)
    if folder.is_finished:
        raise UserError(f"{out} holds a finished run; choose another folder")
    arguments = read_json(args)
    if not isinstance(arguments, dict):
        raise UserError(f"{args} is not an args.txt of the public code: not a JSON object")
    about = read_arguments(arguments, str(args))
    with said_of(args):
        check_settings(about.model, about.settings, about.image_size, about.channels, about.base)
    found = read_checkpoint(path)
    steps = _steps(found, about)
    run = _run(about, steps, kimg, file_digest(path))
    model = build_model(run)
    _fill(model, found)
    state: Json = {
        "config": run.as_json(),
        # Unknown: a training that resumes from it may have any.
        "images": None,
        "step": steps,
        "reloads": 0,
        "model": {**model.state_dict(), "steps": steps},
        "feed": {"epoch": 0, "position": 0},
        "random": {"cpu": torch.Generator().manual_seed(run.seed).get_state()},
        "history": [],
        "best": None,
        "sums": {},
        "counts": {},
    }
    folder.write_run(run)
    folder.save_checkpoint(steps, state)
    seen = steps * about.batch_size / 1000
    summary = TrainingSummary.of(
        run,
        model.networks,
        images_sha256=None,
        steps=steps,
        kimg=seen,
        # The published code keeps its best checkpoint; by which score, the file does not say.
        best=Best(kimg=seen, fid=None),
        official={"model_type": about.kind, "sha256": file_digest(path)},
    )
    history: History = [{"step": steps, "kimg": seen}]
    folder.write_files(TrainingResult(run, kept(model, best_of(model)), history, summary))
    for name in about.not_taken:
        log.warning(
            "%s: %s has no counterpart here; a training that resumes from it does without",
            args,
            name,
        )
    return run


def _steps(found: Checkpoint, about: Imported) -> int:
    """Steps that the generator's optimizer has made; those asked for where that is not there."""
    state = found.optimizers.get("generator", {}).get("state", {})
    made = [int(moments["step"]) for moments in state.values() if "step" in moments]
    return max(made, default=about.steps)


def _run(about: Imported, steps: int, kimg: float | None, sha256: str) -> Run:
    """The resolved run, which carries the checkpoint's digest in its own."""
    dataset = DatasetSpec(
        name=NAME,
        source="folder",
        path=UNKNOWN,
        resolution=about.image_size,
        channels=about.channels,
    )
    batch = about.batch_size
    training = Budget(steps * batch / 1000 if kimg is None else kimg, batch, watch_kimg=0)
    identity = {"official": sha256, "model": about.model, "settings": about.settings}
    base = None
    if about.base is not None:
        painter = RunModel("painter", "fpa.models:FPA", dict(about.base))
        base = Run(dataset, painter, training, about.seed, digest({**identity, "part": "base"}))
    declared = find_model(about.model, NAME)
    settings = resolve_settings(declared, about.settings, f"{NAME}.settings")
    model = RunModel(NAME, about.model, settings)
    return Run(dataset, model, training, about.seed, digest(identity), base)


def _fill(model: Any, found: Checkpoint) -> None:
    for name, network in model.networks.items():
        tensors = found.networks[name]
        network.load_state_dict(state_of(network, tensors, f"{found.path}: the {name}"))
        if optimizer := found.optimizers.get(name):
            moments = moments_of(optimizer, network, tensors)
            if moments:
                load_optimizer_tensors(getattr(model, f"{name}_optimizer"), network, moments)
            else:
                log.warning("%s: Adam's state of the %s does not fit; left out", found.path, name)
