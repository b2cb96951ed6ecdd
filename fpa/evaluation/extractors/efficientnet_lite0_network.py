"""EfficientNet-Lite0 as a torch module."""

from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

# Of ImageNet, as the example in the package's documentation prepares images.
MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]


class Lite(nn.Module):
    """EfficientNet-Lite0: images -> its pooled last feature map, and class logits of that."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network: EfficientNet = network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) float in [0, 255] -> (B, 1280)."""
        return self.network.extract_features((images - self.mean) / self.std).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """(B, 1280) -> (B, 1000)."""
        return self.network._fc(features)


def load_lite(path: Path, size: int) -> Lite:
    """The network with the weights of a file, for images of `size` px."""
    network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Lite(network).eval()
