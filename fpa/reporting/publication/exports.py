"""Generators in folders of their own: weights, configuration, card, a picture of samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import atomic_path, file_digest, read_json, write_bytes, write_text
from fpa.reporting.inspection import contact_sheet
from fpa.reporting.player import read_live
from fpa.reporting.publication.card import Exported, model_card, scores_of

SHOWN = 64
"""Samples in the picture."""
LATENTS = 8
"""That the page begins with."""


def export_run(
    run_folder: Path,
    checkpoint: str,
    out: Path,
    *,
    onnx: bool = False,
    page: bool = False,
    licence: str | None = None,
    scores: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write a finished run's EMA generator to the folder `out`, with its card.

    checkpoint: `best` or `last`. onnx: as ONNX too. page: also as the report's page runs it. licence: SPDX identifier for the weights.
    scores: those that the card shows (None: the run's). UserError when the run is not finished, has
    no such checkpoint, or cannot be exported.
    """
    from fpa.evaluation.sampling import sample
    from fpa.runs.export import export
    from fpa.runs.finished import read_summary, restore

    model = restore(run_folder, checkpoint)
    training = read_summary(run_folder)
    difference = None
    if onnx:
        from fpa.training.onnx_export import export_onnx

        difference = export_onnx(model, out / artifacts.GENERATOR_ONNX)
    if page:
        _write_page(model, out / artifacts.GENERATOR_PAGE)
    export(model, training["run"], checkpoint, out)
    device = next(model.ema.parameters()).device
    images = sample(model.ema, model.latent_dim, SHOWN, 0, device)
    contact_sheet(images, SHOWN, out / artifacts.CARD_SAMPLES)
    names = [
        *(artifacts.GENERATOR, artifacts.GENERATOR_CONFIGURATION, artifacts.CARD_SAMPLES),
        *([artifacts.GENERATOR_ONNX] if onnx else []),
        *([artifacts.GENERATOR_PAGE] if page else []),
    ]
    about = Exported(
        read_json(out / artifacts.GENERATOR_CONFIGURATION),
        training,
        scores_of(run_folder, checkpoint) if scores is None else scores,
        {name: file_digest(out / name) for name in names},
        licence,
        difference,
    )
    write_text(out / artifacts.CARD, model_card(about, out.resolve().name))


def _write_page(model: Any, path: Path) -> None:
    """A painter as the report's page runs it; UserError when the page cannot."""
    from fpa.evaluation.live import pack

    with atomic_path(path) as temporary:
        write_bytes(temporary, pack(model, LATENTS, 0))
        about, _ = read_live(temporary)
        if about["left_out"]:
            raise UserError(f"the page cannot run it: {about['left_out']}; leave --page out")
