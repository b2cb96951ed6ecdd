"""CLIP (Radford et al. 2021), the image half: features that were learnt with captions.

CMMD is a distance in the features of L/14 at 336 px (Jayasumana et al. 2024).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from fpa.evaluation.extractors.base import FeatureNetwork
from fpa.evaluation.extractors.published import Published, check, missing, obtain

if TYPE_CHECKING:
    from torch import nn

BASE = "https://openaipublic.azureedge.net/clip/models"


class _Variant(NamedTuple):
    file: str
    """Name of OpenAI's file, without its ending"""
    fidelity: str
    """torch-fidelity's name, under which it caches the file"""
    features: int
    size: int
    sha256: str


VARIANTS = {
    "clip_vit_b32": _Variant(
        *("ViT-B-32", "clip-vit-b-32", 512, 224),
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    "clip_vit_b16": _Variant(
        *("ViT-B-16", "clip-vit-b-16", 512, 224),
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    "clip_vit_l14": _Variant(
        *("ViT-L-14", "clip-vit-l-14", 768, 224),
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    "clip_vit_l14_336": _Variant(
        *("ViT-L-14-336px", "clip-vit-l-14-336px", 768, 336),
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    ),
}


class CLIP(FeatureNetwork):
    """The image's embedding, not normalised."""

    downloads = True

    def __init__(self, name: str) -> None:
        # One class for several networks: what others declare once, each of these has its own.
        self.name, self.variant = name, VARIANTS[name]  # type: ignore[misc]
        self.features, self.default_size = self.variant.features, self.variant.size  # type: ignore[misc]
        self.sizes: ClassVar = (self.variant.size, self.variant.size)  # type: ignore[misc]

    @property
    def file(self) -> Published:
        variant = self.variant
        names = (f"{variant.file}.pt", f"{variant.fidelity}-{variant.sha256}.pt")
        return Published(names, variant.sha256, f"{BASE}/{variant.sha256}/{variant.file}.pt")

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        return {"state_dict": obtain(self.file, configured, folder)}

    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        from fpa.evaluation.extractors.fidelity_networks import load_clip

        check(weights, self.file)
        return load_clip(weights)

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        return missing(self.file, configured, folder)
