"""The second opinion: torch-fidelity's own extraction and metrics, on the same images and network.

Its FID goes through eigenvalues instead of a matrix square root, and for Inception its network,
resize and weights file are its own: an error in one library does not repeat itself in the other.
Its extra metrics (Inception Score, precision and recall) come from here as well.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_featuresdict_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_featuresdict_to_metric
from torch_fidelity.metric_kid import kid_featuresdict_to_metric
from torch_fidelity.metric_prc import prc_featuresdict_to_metric
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torch_fidelity.registry import register_feature_extractor as register
from torch_fidelity.utils import create_feature_extractor, extract_featuresdict_from_input_id

from fpa.evaluation.extractors import Lite, lite, make_resizer, read_about, weights_path

BATCH = 50
"""Not the first library's: nothing may depend on it."""


class _Images(Dataset):
    """What torch-fidelity reads: uint8 tensors (3, H, W)."""

    def __init__(
        self,
        images: np.ndarray,
        stored: Callable[[np.ndarray], np.ndarray],
        progress: Callable[[int], None],
    ) -> None:
        self.images, self.stored, self.progress = images, stored, progress

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        # torch-fidelity has a look at the first one before it starts.
        self.progress(int(index > 0))
        return torch.from_numpy(self.stored(self.images[index]).transpose(2, 0, 1).copy())


class _LiteExtractor(FeatureExtractorBase):
    """EfficientNet-Lite0 as torch-fidelity calls a network: uint8 (B, 3, H, W) -> a tuple."""

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str = "",
        **_: Any,
    ) -> None:
        super().__init__(name, features_list)
        self.input_size = int(name.removeprefix("efficientnet_lite0-").removesuffix("px"))
        self.network: Lite = lite(Path(feature_extractor_weights_path), self.input_size)
        self.resize = make_resizer("PIL", False, "bicubic", 2 * (self.input_size,))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = images.cpu().permute(0, 2, 3, 1).numpy()
        resized = torch.from_numpy(np.stack([self.resize(image) for image in pixels]))
        features = self.network(resized.permute(0, 3, 1, 2).to(images.device))
        found = {"features": features, "logits": self.network.logits(features)}
        return tuple(found[name].float() for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("features", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False


class Extraction:
    """torch-fidelity's way from images to features and class logits."""

    def __init__(self, about_path: str | Path, device: torch.device) -> None:
        about = read_about(about_path)
        path = weights_path(about, about_path, "state_dict")
        self.cuda = device.type == "cuda"
        if about["network"] == "inception_v3":
            name, self.layers = "inception-v3-compat", ["2048", "logits_unbiased"]
        else:
            name, self.layers = about["name"], ["features", "logits"]
            if name not in FEATURE_EXTRACTORS_REGISTRY:
                register(name, _LiteExtractor)
        self.network = create_feature_extractor(
            name,
            self.layers,
            cuda=self.cuda,
            feature_extractor_weights_path=str(path),
            verbose=False,
        )
        self.size: int = about["features"]
        self.identity = {
            "extractor": about["name"],
            "weights_sha256": about["weights"]["state_dict"]["sha256"],
            "resize": "torch_fidelity",
        }

    def features(
        self,
        images: np.ndarray,
        stored: Callable[[np.ndarray], np.ndarray],
        progress: Callable[[int], None],
    ) -> np.ndarray:
        """uint8 images (N, C, H, W) -> (N, d + classes) float32: features, then logits."""
        found = extract_featuresdict_from_input_id(
            1,
            self.network,
            input1=_Images(images, stored, progress),
            batch_size=BATCH,
            cuda=self.cuda,
            save_cpu_ram=True,
            verbose=False,
        )
        progress(1)
        return torch.cat([found[layer] for layer in self.layers], dim=1).numpy()


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """torch-fidelity's FID of features (N, d)."""
    real_statistics, fake_statistics = (
        fid_featuresdict_to_statistics({"features": _tensor(x)}, "features") for x in (real, fake)
    )
    metric = fid_statistics_to_metric(fake_statistics, real_statistics, verbose=False)
    return metric["frechet_inception_distance"]


def kernel(
    real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """torch-fidelity's KID: mean and standard deviation over random subsets."""
    metric = kid_featuresdict_to_metric(
        {"features": _tensor(fake).double()},
        {"features": _tensor(real).double()},
        "features",
        kid_subsets=subsets,
        kid_subset_size=min(subset_size, len(real), len(fake)),
        rng_seed=seed,
        verbose=False,
    )
    return metric["kernel_inception_distance_mean"], metric["kernel_inception_distance_std"]


def precision_recall(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019), neighbourhoods of 3."""
    metric = prc_featuresdict_to_metric(
        {"features": _tensor(fake)},
        {"features": _tensor(real)},
        "features",
        save_cpu_ram=True,
        verbose=False,
    )
    return metric["precision"], metric["recall"]


def inception_score(logits: np.ndarray, seed: int) -> tuple[float, float]:
    """Inception Score of class logits (N, classes): mean and standard deviation over ten splits."""
    metric = isc_featuresdict_to_metric(
        {"logits": _tensor(logits)}, "logits", rng_seed=seed, verbose=False
    )
    return metric["inception_score_mean"], metric["inception_score_std"]


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
