"""A painter for the report's page, which runs it in the browser: a safetensors file of its weights.

The page has its own implementation of the painter, in JavaScript, of the parts and options below.
Weights are kept as float16 where the images stay what they are, else as float32.
"""

from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from fpa.core.files import canonical_json
from fpa.evaluation.sampling import CHUNK, sample_latents
from fpa.models.interface import Model
from fpa.models.painter import Painter
from fpa.models.settings import PainterSettings
from fpa.models.unet import RefinedPainter

PARTS = {
    "rule": ("delta", "additive", "oja", "gated_delta", "delta_product", "rank_r_delta"),
    "inputs": ("v1", "v2", "split"),
    "sequence": ("lstm", "transformer", "rfwp"),
}
"""What the page can run of the painter's exchangeable parts."""
OPTIONS = (
    *("steps", "updates", "latent_dim", "hidden_size", "layers"),
    *("mini_latent_dim", "mini_input_size", "mini_tanh", "latent_to_state", "position_codes"),
    *("wide_dim", "softmax_keys", "tanh_values", "vector_rates", "sigmoid_rates"),
    *("learned_initial", "tanh_image"),
    *("heads", "feedforward_size", "lstm_init_factor", "kvb_init_factor"),
)
"""Settings of a painter that the page knows; it runs no painter with another one changed."""
LARGEST = 8_000_000
"""Bytes of one painter's weights, at most: a page with larger ones is slow to open and to run."""
TOLERANCE = 2e-4
"""Largest change of a pixel (in [0, 1]) by float16. The page's images may differ by 1e-3, and other
latents than those it is measured by can be changed by a few times as much."""
CHECKED = 100
"""Latents that it is measured by."""


def pack(model: Model, count: int, seed: int) -> bytes:
    """A painter's EMA generator as the page reads it, with the sample's first `count` latents.

    What the page cannot run has no weights; the metadata says why under `left_out`.
    """
    generator = model.ema
    description = _describe(generator)
    tensors: dict[str, Tensor] = {}
    if not description["left_out"]:
        tensors, description["largest_error"] = compact(generator, model.latent_dim, seed)
        description["left_out"] = _too_large(sum(tensor.nbytes for tensor in tensors.values()))
    tensors["latents"] = sample_latents(CHUNK, model.latent_dim, seed)[:count].contiguous()
    # One key only: safetensors writes several in an order that changes from process to process.
    metadata = {"about": canonical_json(description)}
    return safetensors.torch.save({} if description["left_out"] else tensors, metadata=metadata)


def _describe(generator: nn.Module) -> dict[str, Any]:
    if not isinstance(generator, Painter | RefinedPainter):
        return {"left_out": "it is not a painter of fpa.models"}
    painter = generator if isinstance(generator, Painter) else generator.painter
    smallest = 2 * sum(parameter.numel() for parameter in generator.parameters())
    return {
        "image_size": painter.image_size,
        "channels": painter.channels,
        "painter": painter.settings.model_dump(mode="json"),
        "refined": isinstance(generator, RefinedPainter),
        "residual": isinstance(generator, RefinedPainter) and generator.unet.residual,
        "left_out": not_run(painter.settings) or _too_large(smallest) or _not_refined(generator),
    }


@torch.inference_mode()
def _not_refined(generator: Painter | RefinedPainter) -> str | None:
    """Why the page cannot run a U-Net: it may get something else than the finished image."""
    if isinstance(generator, Painter):
        return None
    z = torch.zeros(1, generator.latent_dim, device=next(generator.parameters()).device)
    painting = generator.painter.paint(z)
    refined = generator.unet(painting.image)
    if generator.unet.residual:
        refined = refined + painting.rule_output.matrix
    if generator.painter.settings.tanh_image:
        refined = refined.tanh()
    same = torch.allclose(refined, generator(z))
    return None if same else "its U-Net refines something else than the finished image"


def _too_large(size: int) -> str | None:
    return (
        f"its weights take {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f} MB"
        if size > LARGEST
        else None
    )


def not_run(settings: PainterSettings) -> str | None:
    """Why the page cannot run a painter with these settings, or None."""
    for part, known in PARTS.items():
        found = getattr(settings, part)
        if found not in known:
            return f"the page does not run painters with {part}: {found}"
    changed = settings.model_dump(exclude_defaults=True)
    unknown = [name for name in changed if name not in (*PARTS, *OPTIONS)]
    if unknown:
        return f"the page does not run painters with {unknown[0]}: {changed[unknown[0]]}"
    return None


@torch.inference_mode()
def compact(
    generator: nn.Module, latent_dim: int, seed: int, tolerance: float = TOLERANCE
) -> tuple[dict[str, Tensor], float]:
    """A generator's weights, as many as possible in float16, and the largest change of a pixel.

    The tensors that are used last are rounded first: an error of the first ones grows with every
    step of the sequence network. The generator keeps its weights.
    """
    exact = {
        name: value.cpu().contiguous().clone() for name, value in generator.state_dict().items()
    }
    names = list(exact)
    device = next(generator.parameters()).device
    z = sample_latents(CHECKED, latent_dim, seed, chunk=1).to(device)
    images = generator(z)

    def rounded(count: int) -> dict[str, Tensor]:
        return {n: v.half() if n in names[len(names) - count :] else v for n, v in exact.items()}

    def error(count: int) -> float:
        generator.load_state_dict(rounded(count))
        return (generator(z) - images).abs().max().item()

    try:
        # Bisection: `low` tensors are known to be good, `high` are not.
        low, high, found = 0, len(names) + 1, 0.0
        while high - low > 1:
            middle = (low + high) // 2
            at = error(middle)
            if at <= tolerance:
                low, found = middle, at
            else:
                high = middle
    finally:
        generator.load_state_dict(exact)
    return rounded(low), found
