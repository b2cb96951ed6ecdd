"""What a feature network declares, and how a configuration's name for it is read."""

import importlib.util
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fpa.core.errors import UserError
from fpa.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase


PAIRS = "pairs"
"""In the place of a resize: the network is a distance of two images and has no features; it measures
path lengths."""


class FeatureNetwork(ABC):
    """A feature network, without its weights. Heavy imports belong inside the methods."""

    name: ClassVar[str]
    features: ClassVar[int]
    """d, the length of a feature vector."""
    sizes: ClassVar[tuple[int, int]]
    """The smallest and the largest input size (px)."""
    default_size: ClassVar[int | None] = None
    """The input size of a name that gives none; None where a name has to give it."""
    resizes: ClassVar[tuple[str, ...]] = ("clean",)
    """clean-fid's ways to the input size that it can be used with: `clean` (Pillow, bicubic),
    `pytorch` (bilinear), or `tensorflow`, where the network gets images as they are and resizes
    them itself; or PAIRS alone."""
    check_resize: ClassVar[str] = "clean"
    """The one among them that `torch_fidelity` computes as well, for the cross-check."""
    layers: ClassVar[tuple[str, ...]] = ("features",)
    """What torch-fidelity is asked for: features, then class logits where there are any."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Modules that must be installed, each in the package of its name."""
    downloads: ClassVar[bool] = False
    """Whether `obtain` fetches weights that are nowhere to be found, so that a user may want to
    name a folder that holds them."""

    built_on: ClassVar[str | None] = None
    """Another network whose weights it has: a model that trains with that is not ranked by this."""

    @abstractmethod
    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        """Find or download the weights and check them: their files by format.

        configured: the user's folder of weights, if any; folder: where downloads go. UserError says
        what to do when they cannot be had.
        """

    @abstractmethod
    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        """The network with these weights: (B, 3, S, S) float in [0, 255] -> features (B, d).

        S is `size`, but for `tensorflow`, where it is that of the images. With a layer `logits`
        the module has a method of this name, features (B, d) -> (B, classes).
        """

    def load_pairs(self, weights: dict[str, Path]) -> "nn.Module":
        """The distance of images (B, 3, H, W) float in [0, 255] from as many others: (B,).

        For PAIRS; weights: as from `obtain`.
        """
        raise NotImplementedError(f"{self.name} does not compare images in pairs")

    def weights_format(self, resize: str) -> str:
        """Which of the formats of `obtain` is used behind a resize (`torch_fidelity` included)."""
        return "state_dict"

    def torch_fidelity(self, weights: Path, size: int) -> "FeatureExtractorBase":
        """The network as torch-fidelity calls it: by default the same one in an adapter."""
        from fpa.evaluation.cross_check import Adapter

        return Adapter(self, weights, size)

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        """Names of weights that are nowhere on this machine; arguments as for `obtain`."""
        return []


EXTRACTORS: Registry[FeatureNetwork] = Registry("extractor")


def find_extractor(name: str, where: str) -> tuple[FeatureNetwork, int]:
    """The network and input size (px) that a name such as efficientnet_lite0-96px stands for.

    UserError, beginning with `where`, when there is no such network or its packages are missing.
    """
    match = re.fullmatch(r"([a-z0-9_]+?)(?:-(\d+)px)?", name)
    network = EXTRACTORS.get(match[1] if match else name, where)
    size = int(match[2]) if match and match[2] else network.default_size
    low, high = network.sizes
    if size is None or not low <= size <= high:
        if low == high:
            raise UserError(f"{where}: {network.name} takes {low} px, found '{name}'")
        example = f"{network.name}-{min(max(128, low), high)}px"
        raise UserError(
            f"{where}: {network.name} needs its input size, {low} to {high} px, "
            f"as in {example}; found '{name}'"
        )
    for package in network.packages:
        if importlib.util.find_spec(package) is None:
            wheel = package.replace("_", "-")
            raise UserError(f"{where}: {name} needs the package {wheel}; pip install {wheel}")
    return network, size
