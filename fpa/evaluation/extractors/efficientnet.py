"""EfficientNet-Lite0 as a torch module."""

from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
    fold_norms(network.eval())
    return Lite(network).eval()


def fold_norms(network: EfficientNet) -> None:
    """Move batch norms, and padding where possible, into the convolutions; activations work in place.

    Of a network in evaluation. Its features are the same but for rounding, and take less time.
    """
    fold(network, "_conv_stem", "_bn0")
    fold(network, "_conv_head", "_bn1")
    network._swish.inplace = True
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            fold(block, "_expand_conv", "_bn0")
        fold(block, "_depthwise_conv", "_bn1")
        fold(block, "_project_conv", "_bn2")
        block._swish.inplace = True


def fold(module: nn.Module, convolution: str, norm: str) -> None:
    """Move one batch norm of a module, and the padding before it, into a convolution."""
    conv = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
    sides = set(getattr(conv.static_padding, "padding", ()))
    if len(sides) == 1:
        # The same zeros on all sides: the convolution needs no padded copy of its maps.
        conv.padding, conv.static_padding = 2 * tuple(sides), nn.Identity()
    setattr(module, convolution, conv)
    setattr(module, norm, nn.Identity())
