"""From the description of an extractor to the network."""

from pathlib import Path
from typing import TYPE_CHECKING

from fpa.evaluation.extractors.base import EXTRACTORS
from fpa.evaluation.extractors.files import read_about, weights_path

if TYPE_CHECKING:
    import torch

    from fpa.evaluation.extractors.extractor import Extractor


def load(about_path: str | Path, resize: str, device: "torch.device") -> "Extractor":
    """The extractor that `obtain` described, behind one of clean-fid's resizes."""
    from fpa.evaluation.extractors.extractor import Extractor

    about = read_about(about_path)
    network = EXTRACTORS.get(about["network"], str(about_path))
    kind = network.weights_format(resize)
    path = weights_path(about, about_path, kind)
    module = network.load(path, about["input_size"], resize)
    return Extractor(about, resize, about["weights"][kind]["sha256"], module.to(device), device)
