"""LPIPS (Zhang et al. 2018): a distance of two images, in the layers of VGG16, at 64 px."""

from pathlib import Path
from typing import TYPE_CHECKING

from fpa.evaluation.extractors import vgg16
from fpa.evaluation.extractors.base import PAIRS, FeatureNetwork
from fpa.evaluation.extractors.published import Published, missing, obtain

if TYPE_CHECKING:
    from torch import nn

LAYERS = Published(
    ("weights-vgg16-lpips.pth", "vgg.pth"),
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth",
)
"""The weights of VGG16's layers."""
FILES = {"state_dict": vgg16.FILE, "lpips": LAYERS}


class LPIPS(FeatureNetwork):
    """Compares images in pairs, so perceptual path lengths are all that it can be used for."""

    name = "lpips_vgg16"
    features = 0
    sizes = (64, 64)
    default_size = 64
    downloads = True
    resizes = (PAIRS,)
    built_on = vgg16.VGG16.name

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        return {kind: obtain(file, configured, folder) for kind, file in FILES.items()}

    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        raise NotImplementedError("LPIPS has no features; see load_pairs")

    def load_pairs(self, weights: dict[str, Path]) -> "nn.Module":
        from fpa.evaluation.extractors.fidelity_networks import load_lpips

        return load_lpips(weights["state_dict"], weights["lpips"], self.sizes[0])

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        return [name for file in FILES.values() for name in missing(file, configured, folder)]
