"""Trained generators: restored from a finished run or an export, and exported as safetensors and ONNX.

An export is a folder of its own: the EMA generator's weights, and the configuration that builds it.
Files of weights are read as numbers and put into the network that they are of, or refused.
"""

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError, one_line
from fpa.core.files import (
    atomic_path,
    canonical_json,
    file_digest,
    read_json,
    write_bytes,
    write_json,
)
from fpa.models.interface import Model
from fpa.models.loading import shapes_only
from fpa.models.painter import Painter
from fpa.models.unet import RefinedPainter
from fpa.runs.folder import RunFolder, read_tensors
from fpa.runs.run import Run, build_model

CHECKPOINTS = ("best", "last")
"""Of a finished run."""
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
ONNX_OPSET = 18
ONNX_TOLERANCE = 1e-4
"""Largest difference of a pixel (in [0, 1]) between both runtimes: rounding adds up over the steps of
the sequence network and of the rule; a wrong operator or weight shows as far more."""
ONNX_CHECKED = 16
"""Latents that both runtimes are compared on; not the number that the graph is traced with."""


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
    if checkpoint not in CHECKPOINTS:
        raise UserError(f"checkpoint: expected best or last, found {checkpoint!r}")
    if is_export(folder):
        if which == "raw":
            raise UserError(f"{folder} is an export, which holds the EMA generator alone")
        model = load_export(folder)
    else:
        files, best = RunFolder(folder), checkpoint == "best"
        run = Run.from_json(files.read_summary().run, files.summary)
        networks = files.read_weights()
        name = "best" if best else "ema"
        if name not in networks:
            raise UserError(
                f"{folder} has no best checkpoint: its training was not watched; take the last one "
                "(--checkpoint last), or delete the folder to train it with quick scores"
            )
        model = restored(run, networks[name], files.weights)
        if which == "raw":
            raw = "best_generator" if best else "generator"
            if raw not in networks:
                raise UserError(
                    f"{folder} keeps the trained generator itself of its last checkpoint alone; use "
                    "--checkpoint last"
                )
            trained = model.networks["generator"]
            _check(trained.state_dict(), networks[raw], files.weights, run)
            trained.load_state_dict(networks[raw])
            return model, trained.eval()
    if which != "before_unet":
        return model, model.ema
    if not isinstance(model.ema, RefinedPainter):
        raise UserError(f"{folder} has no U-Net; leave out --which before_unet")
    return model, model.ema.painter


def export(model: Model, run: Run, checkpoint: str, folder: Path) -> None:
    """Write a finished model's EMA generator and its configuration to a folder."""
    weights = {k: v.cpu().contiguous().clone() for k, v in model.ema.state_dict().items()}
    about = {"run": canonical_json(run.as_json())}
    write_bytes(folder / artifacts.GENERATOR, safetensors.torch.save(weights, metadata=about))
    # Last: a folder with a configuration is whole.
    write_json(
        folder / artifacts.GENERATOR_CONFIGURATION,
        {
            "run": run.as_json(),
            "checkpoint": checkpoint,
            "latent_dim": model.latent_dim,
            "weights_sha256": file_digest(folder / artifacts.GENERATOR),
            "versions": provenance.versions(),
        },
    )


def is_export(folder: Path) -> bool:
    return (folder / artifacts.GENERATOR_CONFIGURATION).exists()


def read_exported_run(folder: Path) -> Run:
    """The run whose generator an export holds; UserError unless it is one of this version."""
    return _read_configuration(folder)[0]


def digest_of(folder: Path) -> str:
    """Digest of the run that a finished run's folder or an export is of."""
    if is_export(folder):
        return read_exported_run(folder).digest
    return RunFolder(folder).read_summary().digest


def load_export(folder: Path) -> Model:
    """The model of an export, with its EMA generator's weights; UserError when they do not fit.

    Its class is not imported unless it may be (fpa.core.registry).
    """
    run, expected = _read_configuration(folder)
    path = folder / artifacts.GENERATOR
    if not path.is_file() or file_digest(path) != expected:
        raise UserError(f"{path} is missing or not the file that was exported; export it again")
    return restored(run, read_tensors(path), path)


def _read_configuration(folder: Path) -> tuple[Run, str]:
    path = folder / artifacts.GENERATOR_CONFIGURATION
    about = read_json(path, made_by="python -m fpa export")
    try:
        config, digest = about["run"], about["weights_sha256"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not an export's configuration") from error
    return Run.from_json(config, path), digest


def restored(run: Run, tensors: Mapping[str, Tensor], path: Path) -> Model:
    """A run's model with these weights of its EMA generator, ready to sample from.

    UserError unless names, shapes and types are the generator's. That is found out on torch's meta
    device, so that nothing larger than the file at `path` is allocated for settings that are made up.
    """
    try:
        with shapes_only():
            expected = build_model(run).ema.state_dict()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        # torch's own words for sizes that no tensor can have.
        raise UserError(
            f"{run.model.class_} cannot be built with the settings of {path.parent}: {one_line(error)}"
        ) from error
    _check(expected, tensors, path, run)
    model = build_model(run)
    model.ema.load_state_dict(dict(tensors))
    model.ema.eval()
    return model


def _check(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path, run: Run
) -> None:
    """UserError unless the names, shapes and types that were found are those of a network."""
    for name in [*expected, *found]:
        one, two = (part.get(name) for part in (expected, found))
        if two is None:
            problem = f"there is no {name}"
        elif one is None:
            problem = f"it has no {name}"
        elif (one.shape, one.dtype) != (two.shape, two.dtype):
            problem = (
                f"{name} is {two.dtype} {tuple(two.shape)}, expected {one.dtype} {tuple(one.shape)}"
            )
        else:
            continue
        raise UserError(f"{path} does not fit this version of {run.model.class_}: {problem}")


class _Outputs(nn.Module):
    """latents (B, L) -> image (B, C, D, D), and of a painter the steps (B, T, C, D, D)."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator, self.painter = generator, painter_of(generator)

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        image = self.generator(z)
        return (image,) if self.painter is None else (image, painting_steps(self.painter, z))


def painter_of(generator: nn.Module) -> Painter | None:
    """The painter that a generator is or has, if any."""
    found = generator.painter if isinstance(generator, RefinedPainter) else generator
    return found if isinstance(found, Painter) else None


def painting_steps(painter: Painter, z: Tensor) -> Tensor:
    """The image after every step, (B, T, C, D, D): W_t, through the tanh if the image ends with one."""
    output = painter.paint(z).rule_output
    updates = torch.einsum("bcti,bctj->btcij", output.left, output.right)
    partial = updates.cumsum(dim=1)
    if painter.initial is not None:
        partial = partial + painter.initial
    return partial.tanh() if painter.settings.tanh_image else partial


def export_onnx(model: Model, path: Path) -> float:
    """Write a model's EMA generator as ONNX; the largest difference of a pixel from PyTorch.

    Input `latent` (B, L) with any B; outputs `image` (B, C, D, D) and, of a painter, `steps`
    (B, T, C, D, D), all float32. Images are not clamped to [0, 1]. UserError, and no file, when a
    package is missing, when torch cannot export the generator, and when onnxruntime's images differ
    by more than ONNX_TOLERANCE.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX needs {' and '.join(missing)}; `pip install {' '.join(missing)}`")
    name = f"{type(model).__module__}:{type(model).__name__}"
    outputs = _Outputs(model.ema).eval().cpu()
    names = ["image"] if outputs.painter is None else ["image", "steps"]
    z = torch.randn(ONNX_CHECKED, model.latent_dim, generator=torch.Generator().manual_seed(0))
    # Before the export, so that what models keep of it are constants rather than traced tensors.
    with torch.no_grad():
        expected = outputs(z)
    with atomic_path(path) as temporary:
        try:
            with _quiet_exporter():
                torch.onnx.export(
                    outputs,
                    (z[:2],),
                    str(temporary),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                    opset_version=ONNX_OPSET,
                    input_names=["latent"],
                    output_names=names,
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                )
            found = _run_onnx(temporary, z.numpy())
        except Exception as error:
            # Whatever torch, its exporter or onnxruntime raise: the graph is not one that they run.
            raise UserError(
                f"{name} cannot be exported as ONNX ({one_line(error.__cause__ or error)}); leave "
                "--onnx out"
            ) from error
        difference = max(
            float(np.abs(one.numpy() - two).max()) for one, two in zip(expected, found, strict=True)
        )
        if not difference <= ONNX_TOLERANCE:
            raise UserError(
                f"{name} as ONNX differs from PyTorch by {difference:.1e}, allowed is "
                f"{ONNX_TOLERANCE:.0e} (a generator that draws noise cannot be compared); leave --onnx out"
            )
    return difference


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """No warnings about torch's own future, none about what the exporter does not optimise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _run_onnx(path: Path, z: np.ndarray) -> list[np.ndarray]:
    """What onnxruntime makes of latents (B, L), on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"latent": z})
