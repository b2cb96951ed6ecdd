"""A finished training's artifacts: written at its end, and read by whatever needs its networks."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

from fpa.common import artifacts, provenance
from fpa.common.errors import UserError
from fpa.common.files import canonical_json, read_json, write_bytes, write_json, write_text
from fpa.common.stages import STAGES
from fpa.models.interface import Model
from fpa.training import export, keeping, tensors
from fpa.training.precision import in_force
from fpa.training.run import Run

if TYPE_CHECKING:
    from fpa.training.loop import Training


def write(training: "Training", folder: Path, seconds: float) -> None:
    """weights.safetensors (all of Training.weights), history.csv, train.json; drops checkpoints."""
    # Only here: whoever reads what is written needs no pandas.
    import pandas as pd

    run, kept = training.run, keeping.kept_folder(folder)
    # Copies, because safetensors refuses tensors that share memory.
    named = {
        f"{name}.{key}": value.cpu().contiguous().clone()
        for name, part in training.weights().items()
        for key, value in part.items()
    }
    # One key only: safetensors writes several in an order that changes from process to process.
    about = {"run": canonical_json(run.config)}
    weights = safetensors.torch.save(named, metadata=about)
    write_bytes(kept / artifacts.WEIGHTS, weights)
    history = pd.DataFrame(training.history).to_csv(index=False)
    write_text(kept / artifacts.HISTORY, history)
    parameters = {
        name: sum(p.numel() for p in network.parameters())
        for name, network in training.model.networks.items()
    }
    summary = {
        "run": run.config,
        "digest": run.digest,
        "images_sha256": training.images_digest,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "steps": training.step,
        "kimg": training.kimg(),
        "nan_reloads": training.nan_reloads,
        "best": {key: training.best[key] for key in ("kimg", "fid")} if training.best else None,
        "parameters": parameters,
        "seconds_of_last_attempt": round(seconds, 1),
        "hardware": provenance.hardware(training.device, torch.get_num_threads()),
        "stages": {"train": STAGES["train"]},
        "precision": in_force(training.precision),
        "versions": provenance.versions(),
    }
    write_json(kept / artifacts.SUMMARY, summary)
    keeping.publish(folder)


def read_summary(folder: Path) -> dict[str, Any]:
    """What a finished training was; UserError when there is none."""
    path = folder / artifacts.SUMMARY
    about = read_json(path, made_by="python -m fpa train")
    if not isinstance(about, dict):
        raise UserError(f"{path} does not describe a finished training; train it again")
    return about


def load_weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    """All that a finished run keeps (Training.weights): name -> tensors by name."""
    path = folder / artifacts.WEIGHTS
    if not path.exists():
        raise UserError(f"{folder} holds no finished run; train it first")
    networks: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.read(path).items():
        network, _, name = key.partition(".")
        networks.setdefault(network, {})[name] = value
    return networks


def restore(folder: Path, checkpoint: str = "last") -> Model:
    """The model of a finished run or of an export, its EMA generator ready to sample from.

    checkpoint: `best` or `last`, for a run; an export holds one of them. UserError when there is
    no such run, export or checkpoint.
    """
    if export.is_export(folder):
        return export.load(folder)
    run = Run.from_config(read_summary(folder).get("run"), folder / artifacts.SUMMARY)
    networks = load_weights(folder)
    name = "best" if checkpoint == "best" else "ema"
    if name not in networks:
        raise UserError(
            f"{folder} has no best checkpoint: its training was not watched; use --checkpoint last"
        )
    return tensors.restored(run, networks[name], folder / artifacts.WEIGHTS)
