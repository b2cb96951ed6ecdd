"""CLIP, VGG16 and LPIPS as torch-fidelity builds them.

The library loads files in a way that runs what is in them, or downloads them by itself. It gets tensors
here, which are read in a safe way.
"""

from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch_fidelity import feature_extractor_clip, sample_similarity_lpips
from torchvision import models  # type: ignore[import-untyped]

from fpa.evaluation.extractors import torchscript

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and standard deviation of images in [0, 1] that the networks were trained with."""


class _Normalised(nn.Module):
    """A network of normalised images, for images in [0, 255]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, of: tuple[tuple[float, ...], ...]) -> None:
        super().__init__()
        self.network = network
        for name, values in zip(("mean", "std"), of, strict=True):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images - self.mean) / self.std)


def load_clip(path: Path) -> nn.Module:
    """(B, 3, S, S) in [0, 255] -> image embeddings (B, d), from OpenAI's TorchScript archive."""
    tensors = torchscript.state_dict(path)
    # In half precision in the archive; computed in single precision, as torch-fidelity does.
    model = feature_extractor_clip.build_model(tensors, torch.float32)
    return _Normalised(model.visual, CLIP).eval()


def _vgg16(path: Path) -> Any:
    # Half a gigabyte of random numbers need not be drawn first.
    with torch.device("meta"):
        model = models.vgg16()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(tensors, assign=True)
    return model


def load_vgg16(path: Path) -> nn.Module:
    """(B, 3, 224, 224) in [0, 255] -> the second fully connected layer (B, 4096), after its ReLU."""
    model = _vgg16(path)
    # Without the last layer and the dropout before it.
    model.classifier = model.classifier[:5]
    return _Normalised(model, IMAGENET).eval()


def load_lpips(vgg16: Path, lpips: Path, size: int) -> nn.Module:
    """LPIPS (Zhang et al. 2018) of pairs of images (B, 3, H, W) in [0, 255], resized to `size` px."""
    tensors = torch.load(lpips, map_location="cpu", weights_only=True)
    library = sample_similarity_lpips
    with (
        mock.patch.object(library, "load_state_dict_from_url", return_value=tensors),
        mock.patch.object(library, "torchvision_load_pretrained_vgg16", return_value=_vgg16(vgg16)),
    ):
        return library.SampleSimilarityLPIPS("lpips-vgg16", sample_similarity_resize=size)
