"""A finished training's artifacts: written at its end, and read by whatever needs its networks."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor, nn

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError
from fpa.core.files import (
    atomic_path,
    canonical_json,
    read_json,
    write_bytes,
    write_json,
    write_text,
)
from fpa.core.provenance import STAGES
from fpa.models.interface import Model, Weights
from fpa.models.unet import RefinedPainter
from fpa.runs import export, keeping, tensors
from fpa.runs.run import Run

if TYPE_CHECKING:
    from fpa.training.loop import Training


def write(training: "Training", folder: Path, seconds: float) -> None:
    """weights.safetensors (all of Training.weights), history.csv, train.json; drops checkpoints."""
    # Only here: whoever reads what is written needs no pandas.
    import pandas as pd

    kept = keeping.kept_folder(folder)
    weights_sha256 = write_weights(kept / artifacts.WEIGHTS, training.weights(), training.run)
    history = pd.DataFrame(training.history).to_csv(index=False)
    write_text(kept / artifacts.HISTORY, history)
    best = training.best
    write_summary(
        kept,
        training.run,
        images_sha256=training.images_digest,
        weights_sha256=weights_sha256,
        steps=training.step,
        kimg=training.kimg(),
        best={key: best[key] for key in ("kimg", "fid")} if best else None,
        networks=training.model.networks,
        more={
            "nan_reloads": training.nan_reloads,
            "seconds_of_last_attempt": round(seconds, 1),
            "hardware": provenance.hardware(training.device, torch.get_num_threads()),
            **training.execution.record(),
        },
    )
    keeping.publish(folder)


def write_weights(path: Path, weights: Weights, run: Run) -> str:
    """Tensors by network and name as safetensors, with the run that they belong to; their SHA-256."""
    # Copies, because safetensors refuses tensors that share memory.
    named = {
        f"{name}.{key}": value.cpu().contiguous().clone()
        for name, part in weights.items()
        for key, value in part.items()
    }
    # One key only: safetensors writes several in an order that changes from process to process.
    about = {"run": canonical_json(run.as_json())}
    content = safetensors.torch.save(named, metadata=about)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def write_summary(
    folder: Path,
    run: Run,
    *,
    images_sha256: str | None,
    weights_sha256: str,
    steps: int,
    kimg: float,
    best: dict[str, Any] | None,
    networks: Mapping[str, nn.Module],
    more: dict[str, Any],
) -> None:
    """train.json, the last file of a finished run. more: what else there is to say of it."""
    parameters = {
        name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
    }
    summary = {
        "run": run.as_json(),
        "digest": run.digest,
        "images_sha256": images_sha256,
        "weights_sha256": weights_sha256,
        "steps": steps,
        "kimg": kimg,
        "best": best,
        "parameters": parameters,
        "stages": {"train": STAGES["train"]},
        "versions": provenance.versions(),
        **more,
    }
    write_json(folder / artifacts.SUMMARY, summary)


def take_over(source: Path, run: Run, images_sha256: str, folder: Path) -> None:
    """Make a run's artifacts of a finished run that stands in the place of its training.

    images_sha256: of the images that it is scored on. UserError when `source` is not the run that was
    planned with.
    """
    summary = read_summary(source)
    if summary["digest"] != run.model.finished:
        raise UserError(
            f"{source} is another run than the one that was planned with; plan the experiment again"
        )
    kept = keeping.kept_folder(folder)
    kept.mkdir(parents=True, exist_ok=True)
    for name in (artifacts.WEIGHTS, artifacts.HISTORY):
        with atomic_path(kept / name) as temporary:
            shutil.copyfile(source / name, temporary)
    about = {"run": run.as_json(), "digest": run.digest, "images_sha256": images_sha256}
    write_json(kept / artifacts.SUMMARY, {**summary, **about})
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
    return restore_generator(folder, checkpoint)[0]


def restore_generator(
    folder: Path, checkpoint: str = "last", which: str = "ema"
) -> tuple[Model, nn.Module]:
    """The same, and one of its networks from latents to images, ready to sample from.

    which: `ema`; `raw`, the trained generator itself; or `before_unet`, the painter below the EMA's
    U-Net. UserError when there is none.
    """
    if export.is_export(folder):
        model = export.load(folder)
        if which == "raw":
            raise UserError(f"{folder} is an export, which holds the EMA generator alone")
        return model, _chosen(model, which, folder)
    run = Run.from_json(read_summary(folder).get("run"), folder / artifacts.SUMMARY)
    networks = load_weights(folder)
    best = checkpoint == "best"
    name = "best" if best else "ema"
    if name not in networks:
        raise UserError(
            f"{folder} has no best checkpoint: its training was not watched; use --checkpoint last"
        )
    path = folder / artifacts.WEIGHTS
    model = tensors.restored(run, networks[name], path)
    if which == "raw":
        raw = "best_generator" if best else "generator"
        if raw not in networks:
            raise UserError(
                f"{folder} keeps the trained generator itself of its last checkpoint alone; use "
                "--checkpoint last"
            )
        tensors.load(model.networks["generator"], networks[raw], path, run)
    return model, _chosen(model, which, folder)


def _chosen(model: Model, which: str, folder: Path) -> nn.Module:
    model.ema.eval()
    if which == "raw":
        return model.networks["generator"].eval()
    if which == "before_unet":
        if not isinstance(model.ema, RefinedPainter):
            raise UserError(f"{folder} has no U-Net; leave out --which before_unet")
        return model.ema.painter
    return model.ema
