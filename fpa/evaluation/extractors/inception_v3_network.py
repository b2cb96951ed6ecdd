"""Inception-v3 as a torch module, from either file, and as torch-fidelity has it.

The libraries download inside their constructors: here they get files that were checked already, and
no file is loaded in a way that could run code from a pickle.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from cleanfid import inception_pytorch
from cleanfid.inception_torchscript import InceptionV3W
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3 as fidelity_inception
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from fpa.evaluation.extractors.inception_v3 import NAMES


def from_torchscript(path: Path, resize_inside: bool) -> nn.Module:
    """clean-fid's network, which may resize inside as TensorFlow 1 did."""
    # clean-fid wants the folder and insists on the file's official name.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / NAMES["torchscript"][0]).symlink_to(path)
        return InceptionV3W(folder, download=False, resize_inside=resize_inside)


class _Pytorch(nn.Module):
    """pytorch-fid's network as clean-fid's `legacy_pytorch` calls it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images / 255)[0].flatten(1)


def from_state_dict(path: Path) -> nn.Module:
    """pytorch-fid's network."""
    with mock.patch.object(inception_pytorch, "load_state_dict_from_url", _reader(path)):
        return _Pytorch(inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False))


def torch_fidelitys(path: Path, layers: Sequence[str]) -> FeatureExtractorBase:
    """torch-fidelity's network."""
    with mock.patch.object(fidelity_inception, "load_state_dict_from_url", _reader(path)):
        return fidelity_inception.FeatureExtractorInceptionV3("inception-v3-compat", list(layers))


def _reader(path: Path) -> Callable[..., dict[str, Tensor]]:
    """A stand-in for torch.hub's download that reads a file."""

    def read(*_: Any, **__: Any) -> dict[str, Tensor]:
        return torch.load(path, map_location="cpu", weights_only=True)

    return read
