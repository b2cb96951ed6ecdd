"""A trained generator by itself: its weights as safetensors, and the configuration that builds it."""

from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from fpa.common import provenance
from fpa.common.errors import UserError
from fpa.common.files import canonical_json, file_digest, read_json, write_bytes, write_json
from fpa.models.interface import Model
from fpa.training.run import Run, build_model

WEIGHTS, CONFIGURATION = "generator.safetensors", "generator.json"


def export(model: Model, run: dict[str, Any], checkpoint: str, folder: Path) -> None:
    """Write a finished model's EMA generator and its configuration to a folder."""
    tensors = {k: v.cpu().contiguous().clone() for k, v in model.ema.state_dict().items()}
    about = {"run": canonical_json(run)}
    write_bytes(folder / WEIGHTS, safetensors.torch.save(tensors, metadata=about))
    # Last: a folder with a configuration is whole.
    write_json(
        folder / CONFIGURATION,
        {
            "run": run,
            "checkpoint": checkpoint,
            "latent_dim": model.latent_dim,
            "weights_sha256": file_digest(folder / WEIGHTS),
            "versions": provenance.versions(),
        },
    )


def is_export(folder: Path) -> bool:
    """Whether a folder holds an exported generator."""
    return (folder / CONFIGURATION).exists()


def load(folder: Path) -> Model:
    """The model of an export, with its EMA generator's weights; UserError when they do not fit."""
    about = read_json(folder / CONFIGURATION, made_by="python -m fpa export")
    path = folder / WEIGHTS
    try:
        run = Run.from_config(about["run"], folder / CONFIGURATION)
        expected = about["weights_sha256"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIGURATION} is not an export's configuration") from error
    if not path.exists() or file_digest(path) != expected:
        raise UserError(f"{path} is missing or not the file that was exported; export it again")
    model = build_model(run)
    weights: dict[str, Tensor] = safetensors.torch.load_file(path)
    try:
        model.ema.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit this version of {run.model['class']}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    model.ema.eval()
    return model
