"""Inception-v3, the network of the literature's FID: 2048 features, 299 px.

There are two published files of its weights: the TorchScript one that clean-fid reads, and the
state dict of pytorch-fid and torch-fidelity.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.evaluation.extractors.base import FeatureNetwork

if TYPE_CHECKING:
    from torch import nn
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

NAMES = {
    "torchscript": ("inception-2015-12-05.pt",),
    "state_dict": (
        "pt_inception-2015-12-05-6726825d.pth",
        "weights-inception-2015-12-05-6726825d.pth",
    ),
}
"""Official names of the published files by format, the first one for a download."""


class WeightsFile(NamedTuple):
    """A published file of weights."""

    sha256: str
    url: str


def published() -> dict[str, WeightsFile]:
    """Both files by format."""
    from cleanfid.downloads_helper import inception_url
    from cleanfid.inception_pytorch import FID_WEIGHTS_URL

    return {
        "torchscript": WeightsFile(
            "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4", inception_url
        ),
        "state_dict": WeightsFile(
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2", FID_WEIGHTS_URL
        ),
    }


class InceptionV3(FeatureNetwork):
    """The network of 2015, whose weights were converted from TensorFlow."""

    name = "inception_v3"
    features = 2048
    sizes = (299, 299)
    default_size = 299
    resizes = ("clean", "pytorch", "tensorflow")
    # torch-fidelity resizes as TensorFlow 1 did.
    check_resize = "tensorflow"
    layers = ("2048", "logits_unbiased")
    downloads = True

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        return {kind: _obtain(kind, file, configured, folder) for kind, file in published().items()}

    def weights_format(self, resize: str) -> str:
        return "torchscript" if resize in ("clean", "tensorflow") else "state_dict"

    def load(self, weights: Path, size: int, resize: str) -> "nn.Module":
        from fpa.evaluation.extractors import inception_v3_network as networks

        kind = self.weights_format(resize)
        _check(kind, weights)
        if kind == "torchscript":
            return networks.from_torchscript(weights, resize_inside=resize == "tensorflow")
        return networks.from_state_dict(weights)

    def torch_fidelity(self, weights: Path, size: int) -> "FeatureExtractorBase":
        from fpa.evaluation.extractors import inception_v3_network as networks

        _check("state_dict", weights)
        return networks.torch_fidelitys(weights, self.layers)

    def missing_files(self, configured: str | None, folder: Path) -> list[str]:
        return [names[0] for kind, names in NAMES.items() if not _found(kind, configured, folder)]


def _found(kind: str, configured: str | None, folder: Path) -> list[Path]:
    """Files of a format: in the configured folder, else in `folder` and the usual caches."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    torch_cache = Path(os.environ.get("TORCH_HOME", cache / "torch"))
    places = [folder, cache / "clean-fid", torch_cache / "hub/checkpoints"]
    if configured:
        places = [Path(configured).expanduser()]
    paths = (place / name for place in places for name in NAMES[kind])
    return [path for path in paths if path.is_file()]


def _check(kind: str, path: Path) -> None:
    """UserError unless a file is the published one: a TorchScript file is a program."""
    found, expected = file_digest(path), published()[kind].sha256
    if found != expected:
        raise UserError(
            f"{path} has SHA-256 {found[:12]}..., expected {expected[:12]}...; it is not loaded"
        )


def _obtain(kind: str, file: WeightsFile, configured: str | None, folder: Path) -> Path:
    """The user's file, else one in the usual caches, else a download; the digest is checked."""
    from fpa.data.download import fetch

    official = NAMES[kind][0]
    for path in _found(kind, configured, folder):
        found = file_digest(path)
        if found == file.sha256:
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
