"""A trained generator by itself: its weights as safetensors, and the configuration that builds it."""

from pathlib import Path
from typing import Any

import safetensors.torch

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.files import canonical_json, file_digest, read_json, write_bytes, write_json
from fpa.models.interface import Model
from fpa.runs import tensors
from fpa.runs.run import Run

WEIGHTS, CONFIGURATION = artifacts.GENERATOR, artifacts.GENERATOR_CONFIGURATION


def export(model: Model, run: dict[str, Any], checkpoint: str, folder: Path) -> None:
    """Write a finished model's EMA generator and its configuration to a folder."""
    weights = {k: v.cpu().contiguous().clone() for k, v in model.ema.state_dict().items()}
    about = {"run": canonical_json(run)}
    write_bytes(folder / WEIGHTS, safetensors.torch.save(weights, metadata=about))
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


def read_run(folder: Path) -> Run:
    """The run whose generator an export holds; UserError unless it is one of this version."""
    return _read(folder)[0]


def load(folder: Path) -> Model:
    """The model of an export, with its EMA generator's weights; UserError when they do not fit.

    Its class is not imported unless it may be (fpa.core.registry).
    """
    run, expected = _read(folder)
    path = folder / WEIGHTS
    if not path.is_file() or file_digest(path) != expected:
        raise UserError(f"{path} is missing or not the file that was exported; export it again")
    return tensors.restored(run, tensors.read(path), path)


def _read(folder: Path) -> tuple[Run, str]:
    """An export's run, and the SHA-256 of its weights."""
    path = folder / CONFIGURATION
    about = read_json(path, made_by="python -m fpa export")
    try:
        config, digest = about["run"], about["weights_sha256"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not an export's configuration") from error
    return Run.from_json(config, path), digest
