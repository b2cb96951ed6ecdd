"""Inception-v3, CLIP, VGG16 and LPIPS as other libraries build them, from files that were checked.

clean-fid, torch-fidelity and torchvision download weights inside their constructors, and load some
files in a way that runs what is in them. Here they find files whose digest is the published one where
they look before they download, and torch reads nothing but tensors from them.
"""

import io
import os
import pickle
import re
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from cleanfid import inception_pytorch
from cleanfid.downloads_helper import inception_url
from cleanfid.inception_torchscript import InceptionV3W
from torch import Tensor, nn
from torch_fidelity import feature_extractor_clip
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import (
    URL_INCEPTION_V3,
    FeatureExtractorInceptionV3,
)
from torch_fidelity.sample_similarity_lpips import URL_VGG16_LPIPS, SampleSimilarityLPIPS
from torchvision import models  # type: ignore[import-untyped]
from torchvision.models import VGG16_Weights  # type: ignore[import-untyped]

from fpa.core.errors import UserError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and standard deviation of images in [0, 1] that the networks were trained with."""


@contextmanager
def _in_hub(files: Mapping[str, Path]) -> Iterator[Path]:
    """A folder with links to files by name, which is meanwhile where torch.hub keeps downloads.

    torch.load reads tensors alone in that time, whatever its caller asks for.
    """
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        for name, path in files.items():
            (folder / name).symlink_to(path.resolve())
        changed = {"TORCH_HOME": home, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield folder
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _name(url: str) -> str:
    return url.rpartition("/")[2]


# Inception-v3 --------------------------------------------------------------------------------


def inception_of_clean_fid(path: Path, resize_inside: bool) -> nn.Module:
    """clean-fid's network, a TorchScript program, which may resize inside as TensorFlow 1 did."""
    with _in_hub({_name(inception_url): path}) as folder:
        return InceptionV3W(folder, download=False, resize_inside=resize_inside)


class _PytorchFID(nn.Module):
    """pytorch-fid's network as clean-fid's `legacy_pytorch` calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images / 255)[0].flatten(1)


def inception_of_pytorch_fid(path: Path) -> nn.Module:
    with _in_hub({_name(inception_pytorch.FID_WEIGHTS_URL): path}):
        return _PytorchFID()


def inception_of_torch_fidelity(path: Path, layers: Sequence[str]) -> FeatureExtractorBase:
    with _in_hub({_name(URL_INCEPTION_V3): path}):
        return FeatureExtractorInceptionV3("inception-v3-compat", list(layers))


# CLIP, VGG16 and LPIPS -----------------------------------------------------------------------


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
    tensors = tensors_of_torchscript(path)
    # In half precision in the archive; computed in single precision, as torch-fidelity does.
    model = feature_extractor_clip.build_model(tensors, torch.float32)
    return _Normalised(model.visual, CLIP).eval()


def load_vgg16(path: Path) -> nn.Module:
    """(B, 3, 224, 224) in [0, 255] -> the second fully connected layer (B, 4096), after its ReLU."""
    # Half a gigabyte of random numbers need not be drawn first.
    with torch.device("meta"):
        model = models.vgg16()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(tensors, assign=True)
    # Without the last layer and the dropout before it.
    model.classifier = model.classifier[:5]
    return _Normalised(model, IMAGENET).eval()


def load_lpips(vgg16: Path, lpips: Path, size: int) -> nn.Module:
    """LPIPS (Zhang et al. 2018) of pairs of images (B, 3, H, W) in [0, 255], resized to `size` px."""
    files = {VGG16_Weights.IMAGENET1K_V1.url: vgg16, URL_VGG16_LPIPS: lpips}
    with _in_hub({_name(url): path for url, path in files.items()}):
        return SampleSimilarityLPIPS("lpips-vgg16", sample_similarity_resize=size)


# TorchScript archives ------------------------------------------------------------------------

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


class _Module:
    """A module of the archive: nothing but its attributes."""

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


def tensors_of_torchscript(path: Path) -> dict[str, Tensor]:
    """All tensors of a TorchScript archive's module by their names, on the CPU.

    `torch.jit.load` compiles and runs the code in such a file. Here only its pickle of tensors is read,
    by an unpickler that knows tensors and lists, and takes every other class for a bag of attributes.

    UserError for a file that is no such archive, or that holds anything but modules, tensors, lists
    and plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]*/data\.pkl", n))
            folder = pickled.partition("/")[0]
            root = _Unpickler(archive, folder, archive.read(pickled)).load()
    except (
        *(zipfile.BadZipFile, pickle.UnpicklingError, ValueError, KeyError, EOFError),
        *(TypeError, AttributeError, IndexError, RuntimeError, OSError),
    ) as error:
        raise UserError(f"{path} is not a TorchScript archive of weights: {error}") from error
    found: dict[str, Tensor] = {}
    _gather(root, "", found)
    return found


def _gather(module: Any, prefix: str, found: dict[str, Tensor]) -> None:
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, Tensor):
            found[prefix + name] = value
        elif isinstance(value, _Module):
            _gather(value, f"{prefix}{name}.", found)


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        known: dict[tuple[str, str], Any] = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("collections", "OrderedDict"): OrderedDict,
            **{("torch.jit._pickle", name): list for name in LISTS},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(key).isdigit():
            raise pickle.UnpicklingError("it holds something that is no tensor")
        # A copy, because what a zip gives cannot be written to.
        data = bytearray(self.archive.read(f"{self.folder}/data/{key}"))
        if len(data) < count * dtype.itemsize:
            raise pickle.UnpicklingError(f"its tensor {key} is cut off")
        return torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0)


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)
