"""The cross-check: extraction and metrics by torch-fidelity, on the same images and network.

torch-fidelity computes the FID from eigenvalues instead of a matrix square root, and has another
implementation of Inception, its resize and its weights file, so an error in one library is not
repeated in the other. The Inception Score comes from here as well.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_featuresdict_to_metric
from torch_fidelity.metric_kid import kernel_poly, mmd2
from torch_fidelity.metric_prc import prc_featuresdict_to_metric
from torch_fidelity.utils import extract_featuresdict_from_input_id

from fpa.evaluation import kernel_distances
from fpa.evaluation.extractors import EXTRACTORS, ExtractorInfo, FeatureNetwork
from fpa.evaluation.extractors.base import resizer

BATCH = 50
"""Another size than for clean-fid: features must not depend on it."""
AT_ONCE = 40 * BATCH
"""Images whose features torch-fidelity holds at once."""
ROWS = 5000
"""Rows of features that statistics take at once."""
MOST_PAIRED = 5000
"""Images on a side up to which the kernels of all pairs are held: three times 200 MB."""


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
        # torch-fidelity reads the first one an extra time before it starts.
        self.progress(int(index > 0))
        return torch.from_numpy(self.stored(self.images[index]).transpose(2, 0, 1).copy())


class Adapter(FeatureExtractorBase):
    """A feature network as torch-fidelity calls one: uint8 (B, 3, H, W) -> a tuple of layers."""

    def __init__(self, network: FeatureNetwork, weights: Path, size: int) -> None:
        self.provided = network.layers
        super().__init__(network.name, list(network.layers))
        self.network: Any = network.load(weights, size, network.check_resize)
        self.resize = resizer(network.check_resize, size)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = images.cpu().permute(0, 2, 3, 1).numpy()
        resized = torch.from_numpy(np.stack([self.resize(image) for image in pixels]))
        features = self.network(resized.permute(0, 3, 1, 2).to(images.device))
        found = {"features": features}
        if "logits" in self.features_list:
            found["logits"] = self.network.logits(features)
        return tuple(found[name].float() for name in self.features_list)

    def get_provided_features_list(self) -> tuple[str, ...]:
        return self.provided


class Extraction:
    """torch-fidelity's way from images to features and class logits."""

    def __init__(self, described_in: str | Path, device: torch.device) -> None:
        info = ExtractorInfo.read(described_in)
        network = EXTRACTORS.find(info.network, str(described_in))
        kind = network.weights_format("torch_fidelity")
        path = info.checked_weights(kind, described_in)
        self.cuda = device.type == "cuda"
        self.layers = network.layers
        own = network.torch_fidelity(path, info.input_size)
        self.network = Adapter(network, path, info.input_size) if own is None else own
        self.network.requires_grad_(False).eval()
        if self.cuda:
            self.network.cuda()
        self.size = info.features
        self.identity = {
            "extractor": info.name,
            "weights_sha256": info.weights[kind].sha256,
            "resize": "torch_fidelity",
        }

    def blocks(
        self,
        images: np.ndarray,
        stored: Callable[[np.ndarray], np.ndarray],
        progress: Callable[[int], None],
    ) -> Iterator[np.ndarray]:
        """uint8 images (N, C, H, W) -> (n, d + classes) float32, block by block: features, then logits."""
        for start in range(0, len(images), AT_ONCE):
            found = extract_featuresdict_from_input_id(
                1,
                self.network,
                input1=_Images(images[start : start + AT_ONCE], stored, progress),
                batch_size=BATCH,
                cuda=self.cuda,
                save_cpu_ram=True,
                verbose=False,
            )
            progress(1)
            yield torch.cat([found[layer] for layer in self.layers], dim=1).numpy()


def statistics(features: np.ndarray) -> dict[str, np.ndarray]:
    """Mean (d,) and covariance (d, d) of features (N, d), as torch-fidelity's FID takes them.

    Its own function copies all features in double precision: here a few rows at a time, once for
    the mean and once for the squares about it.
    """
    blocks = range(0, len(features), ROWS)
    mean = sum(features[i : i + ROWS].sum(axis=0, dtype=np.float64) for i in blocks) / len(features)
    squares = np.zeros((features.shape[1],) * 2)
    for i in blocks:
        centred = features[i : i + ROWS] - mean
        squares += centred.T @ centred
    return {"mu": mean, "sigma": squares / (len(features) - 1)}


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """torch-fidelity's FID of features (N, d)."""
    metric = fid_statistics_to_metric(statistics(fake), statistics(real), verbose=False)
    return metric["frechet_inception_distance"]


def kernel(real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, seed: int) -> float:
    """torch-fidelity's KID, the mean over random subsets.

    The subsets overlap: their standard deviation, which the library reports, is no standard error.
    They are drawn here as the library would. Its kernels are computed once for all pairs of images
    where that is less work than once in each subset.
    """
    draws = kernel_distances.draw(len(real), len(fake), subsets, subset_size, seed)
    every = None
    few = max(len(real), len(fake)) <= MOST_PAIRED
    if few and kernel_distances.pays(len(real), len(fake), draws):
        every = _kernels(fake, real)
    values = []
    for one in draws:
        if every is None:
            kernels = _kernels(fake[one.fake], real[one.real])
        else:
            rows = ((one.fake, one.fake), (one.fake, one.real), (one.real, one.real))
            # Rows, then columns: several times faster than both at once.
            kernels = [k.take(x, 0).take(y, 1) for k, (x, y) in zip(every, rows, strict=True)]
        values.append(mmd2(*kernels))
    return float(np.mean(values))


def _kernels(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """torch-fidelity's kernel, by its defaults, of all pairs within x, across, and within y."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return [kernel_poly(a, b) for a, b in ((x, x), (x, y), (y, y))]


def precision_recall(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """torch-fidelity's improved precision and recall, whose distances are all in memory at once.

    Scores take fpa.evaluation.precision_recall; this is what tests compare it with.
    """
    metric = prc_featuresdict_to_metric(
        {"features": _tensor(fake)},
        {"features": _tensor(real)},
        "features",
        save_cpu_ram=True,
        verbose=False,
    )
    return metric["precision"], metric["recall"]


def inception_score(logits: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """Inception Score of class logits (N, classes): mean and standard deviation over disjoint
    random splits."""
    metric = isc_featuresdict_to_metric(
        {"logits": _tensor(logits)}, "logits", isc_splits=splits, rng_seed=seed, verbose=False
    )
    return metric["inception_score_mean"], metric["inception_score_std"]


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
