"""A finished training's artifacts: written at its end, and read by whatever needs its networks."""

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
from fpa.training import export
from fpa.training.precision import in_force
from fpa.training.run import Run, build_model

if TYPE_CHECKING:
    from fpa.training.loop import Training


def write(training: "Training", folder: Path, seconds: float) -> None:
    """weights.safetensors (all of Training.weights), history.csv, train.json."""
    # Only here: whoever reads what is written needs no pandas.
    import pandas as pd

    run = training.run
    # Copies, because safetensors refuses tensors that share memory.
    tensors = {
        f"{name}.{key}": value.cpu().contiguous().clone()
        for name, part in training.weights().items()
        for key, value in part.items()
    }
    # One key only: safetensors writes several in an order that changes from process to process.
    about = {"run": canonical_json(run.config)}
    write_bytes(folder / artifacts.WEIGHTS, safetensors.torch.save(tensors, metadata=about))
    history = pd.DataFrame(training.history).to_csv(index=False)
    write_text(folder / artifacts.HISTORY, history)
    parameters = {
        name: sum(p.numel() for p in network.parameters())
        for name, network in training.model.networks.items()
    }
    summary = {
        "run": run.config,
        "digest": run.digest,
        "images_sha256": training.images_digest,
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
    write_json(folder / artifacts.SUMMARY, summary)


def read_summary(folder: Path) -> dict[str, Any]:
    """What a finished training was; UserError when there is none."""
    return read_json(folder / artifacts.SUMMARY, made_by="python -m fpa train")


def load_weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    """All that a finished run keeps (Training.weights): name -> tensors by name."""
    path = folder / artifacts.WEIGHTS
    try:
        tensors = safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{folder} holds no finished run; train it first") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    networks: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
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
    summary = read_summary(folder)
    model = build_model(Run.from_config(summary["run"], folder / artifacts.SUMMARY))
    networks = load_weights(folder)
    name = "best" if checkpoint == "best" else "ema"
    if name not in networks:
        raise UserError(
            f"{folder} has no best checkpoint: its training was not watched; use --checkpoint last"
        )
    try:
        model.ema.load_state_dict(networks[name])
    except RuntimeError as error:
        raise UserError(
            f"{folder / artifacts.WEIGHTS} does not fit this version of "
            f"{summary['run']['model']['class']}: {str(error).splitlines()[0]}"
        ) from error
    model.ema.eval()
    return model
