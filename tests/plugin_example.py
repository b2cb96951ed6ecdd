"""What a user adds without editing fpa/: a learning rule, a metric and an extractor."""

import numpy as np
import torch
from torch import nn

from fpa.common.registry import Registry
from fpa.evaluation.estimate import Estimate
from fpa.evaluation.extractors import EXTRACTORS, FeatureNetwork
from fpa.evaluation.metrics import METRICS
from fpa.evaluation.metrics.base import Measurement, Metric
from fpa.models.learning_rules import RULES, Rule
from fpa.models.learning_rules.base import Writing, accumulate, start

RATE = 0.5


class OjaRule:
    """Oja's rule: W_t = W_{t-1} + r v_t (k_t - W_{t-1}^T v_t)^T.

    The right factor of an update is not its key.
    """

    def __init__(self, settings) -> None:
        self.settings = settings

    def rate_size(self, size: int) -> int:
        return 0

    def initialise(self, layer: nn.Linear, size: int, channels: int) -> None:
        pass

    def write(self, raw_keys, values, raw_rates, initial) -> Writing:
        keys, values = raw_keys.softmax(-1), values.tanh()
        W, right = start(keys, initial), []
        for t in range(keys.shape[2]):
            k, v = keys[:, :, t], values[:, :, t]
            right.append(RATE * (k - torch.einsum("bcij,bci->bcj", W, v)))
            W = W + torch.einsum("bci,bcj->bcij", v, right[-1])
        factors = torch.stack(right, dim=2)
        rates = torch.full_like(values[..., :1], RATE)
        return Writing(accumulate(values, factors, initial), values, factors, rates)


def mean_gap(measurement: Measurement) -> dict[str, Estimate]:
    """Distance between the two sets' mean features."""
    real, fake = (part.values.mean(axis=0) for part in measurement.main)
    return {"mean_gap": Estimate(float(np.linalg.norm(real - fake)), float("nan"))}


class Thumbnails(FeatureNetwork):
    """The image itself, at 4 x 4 px."""

    name, features, sizes = "thumbnails", 48, (16, 64)

    def obtain(self, configured, folder):
        path = folder / "thumbnails.pt"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({}, path)
        return {"state_dict": path}

    def load(self, weights, size, resize):
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())


RULES.register("oja", Rule(OjaRule, has_rates=False))
METRICS.register("mean_gap", Metric("mean_gap", "mean gap", True, mean_gap, drawn=True))
EXTRACTORS.register("thumbnails", Thumbnails())

ADDED: list[tuple[Registry, str]] = [
    (RULES, "oja"),
    (METRICS, "mean_gap"),
    (EXTRACTORS, "thumbnails"),
]
