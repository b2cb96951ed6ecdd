"""VGG16 (Simonyan & Zisserman 2015), torchvision's ImageNet classifier: 4096 features, 224 px."""

from pathlib import Path
from typing import TYPE_CHECKING

from fpa.evaluation.extractors.base import FeatureNetwork
from fpa.evaluation.extractors.published import Published, check, missing, obtain

if TYPE_CHECKING:
    from torch import nn

FILE = Published(
    ("vgg16-397923af.pth",),
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
)


class VGG16(FeatureNetwork):
    """The second fully connected layer after its ReLU, torch-fidelity's `fc2_relu`."""

    name = "vgg16"
    features = 4096
    sizes = (224, 224)
    default_size = 224
    downloads = True

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        return {"state_dict": obtain(FILE, configured, folder)}

    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        from fpa.evaluation.extractors.fidelity_networks import load_vgg16

        check(weights, FILE)
        return load_vgg16(weights)

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        return missing(FILE, configured, folder)
