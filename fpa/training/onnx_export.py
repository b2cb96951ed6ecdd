"""A generator as ONNX, for runtimes without PyTorch: the image, and every step of a painting."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fpa.core.errors import UserError, one_line
from fpa.core.files import atomic_path
from fpa.models.interface import Model
from fpa.models.painter import Painter
from fpa.models.unet import RefinedPainter

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
TOLERANCE = 1e-4
"""Largest difference of a pixel (in [0, 1]) between both runtimes: rounding adds up over the steps of
the sequence network and of the rule; a wrong operator or weight shows as far more."""
CHECKED = 16
"""Latents that both runtimes are compared on; not the number that the graph is traced with."""


class _Outputs(nn.Module):
    """latents (B, L) -> image (B, C, D, D), and of a painter the steps (B, T, C, D, D)."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator, self.painter = generator, painter_of(generator)

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        image = self.generator(z)
        return (image,) if self.painter is None else (image, steps(self.painter, z))


def painter_of(generator: nn.Module) -> Painter | None:
    """The painter that a generator is or has, if any."""
    found = generator.painter if isinstance(generator, RefinedPainter) else generator
    return found if isinstance(found, Painter) else None


def steps(painter: Painter, z: Tensor) -> Tensor:
    """The image after every step, (B, T, C, D, D): W_t, through the tanh if the image ends with one."""
    writing = painter.paint(z).writing
    updates = torch.einsum("bcti,bctj->btcij", writing.left, writing.right)
    partial = updates.cumsum(dim=1)
    if painter.initial is not None:
        partial = partial + painter.initial
    return partial.tanh() if painter.settings.tanh_image else partial


def export_onnx(model: Model, path: Path) -> float:
    """Write a model's EMA generator as ONNX; the largest difference of a pixel from PyTorch.

    Input `latent` (B, L) with any B; outputs `image` (B, C, D, D) and, of a painter, `steps`
    (B, T, C, D, D), all float32. Images are not clamped to [0, 1]. UserError, and no file, when a
    package is missing, when torch cannot export the generator, and when onnxruntime's images differ
    by more than TOLERANCE.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"ONNX needs {' and '.join(missing)}; `pip install {' '.join(missing)}`")
    name = f"{type(model).__module__}:{type(model).__name__}"
    outputs = _Outputs(model.ema).eval().cpu()
    names = ["image"] if outputs.painter is None else ["image", "steps"]
    z = torch.randn(CHECKED, model.latent_dim, generator=torch.Generator().manual_seed(0))
    # Before the export, so that what models keep of it are constants rather than traced tensors.
    with torch.no_grad():
        expected = outputs(z)
    with atomic_path(path) as temporary:
        try:
            with _quiet():
                torch.onnx.export(
                    outputs,
                    (z[:2],),
                    str(temporary),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                    opset_version=OPSET,
                    input_names=["latent"],
                    output_names=names,
                    dynamic_shapes=({0: torch.export.Dim("batch")},),
                )
            found = _run(temporary, z.numpy())
        except Exception as error:
            # Whatever torch, its exporter or onnxruntime raise: the graph is not one that they run.
            raise UserError(
                f"{name} cannot be exported as ONNX ({one_line(error.__cause__ or error)}); leave "
                "--onnx out"
            ) from error
        difference = max(
            float(np.abs(one.numpy() - two).max()) for one, two in zip(expected, found, strict=True)
        )
        if not difference <= TOLERANCE:
            raise UserError(
                f"{name} as ONNX differs from PyTorch by {difference:.1e}, allowed is "
                f"{TOLERANCE:.0e} (a generator that draws noise cannot be compared); leave --onnx out"
            )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings about torch's own future, none about what the exporter does not optimise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _run(path: Path, z: np.ndarray) -> list[np.ndarray]:
    """What onnxruntime makes of latents (B, L), on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"latent": z})
