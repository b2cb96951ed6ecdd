"""DINOv2 (Oquab et al. 2024): vision transformers that learnt without labels, S, B and L, 224 px.

Stein et al. (2023) find that a Fréchet distance in the features of L agrees best with people's
judgement: FD-DINOv2.
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fpa.evaluation.extractors.base import FeatureNetwork
from fpa.evaluation.extractors.published import Published, check, missing, obtain

if TYPE_CHECKING:
    from torch import nn

BASE = "https://dl.fbaipublicfiles.com/dinov2"
SHA256 = {
    "dinov2_vits14": "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    "dinov2_vitb14": "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    "dinov2_vitl14": "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
}
WIDTHS = {"dinov2_vits14": 384, "dinov2_vitb14": 768, "dinov2_vitl14": 1024}


class DINOv2(FeatureNetwork):
    """The class token behind the last normalisation."""

    sizes: ClassVar = (224, 224)
    default_size = 224
    downloads = True

    def __init__(self, name: str) -> None:
        # One class for three networks: what others declare once, each of these has its own.
        self.name, self.features = name, WIDTHS[name]  # type: ignore[misc]

    @property
    def file(self) -> Published:
        name = f"{self.name}_pretrain.pth"
        return Published((name,), SHA256[self.name], f"{BASE}/{self.name}/{name}")

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        return {"state_dict": obtain(self.file, configured, folder)}

    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        from fpa.evaluation.extractors.dinov2_network import load_dinov2

        check(weights, self.file)
        return load_dinov2(weights)

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        return missing(self.file, configured, folder)
