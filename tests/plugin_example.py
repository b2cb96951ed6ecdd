"""What a user adds without editing fpa/: a learning rule and a metric."""

import numpy as np
import torch
from torch import nn

from fpa.evaluation.distances import Estimate
from fpa.evaluation.metrics import METRICS, Measurement, Metric
from fpa.models.learning_rules import RULES, Rule, RuleOutput, accumulate, start

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

    def write(self, raw_keys, values, raw_rates, initial) -> RuleOutput:
        keys, values = raw_keys.softmax(-1), values.tanh()
        W, right = start(keys, initial), []
        for t in range(keys.shape[2]):
            k, v = keys[:, :, t], values[:, :, t]
            right.append(RATE * (k - torch.einsum("bcij,bci->bcj", W, v)))
            W = W + torch.einsum("bci,bcj->bcij", v, right[-1])
        factors = torch.stack(right, dim=2)
        rates = torch.full_like(values[..., :1], RATE)
        return RuleOutput(accumulate(values, factors, initial), values, factors, rates)


def mean_gap(measurement: Measurement) -> dict[str, Estimate]:
    """Distance between the two sets' mean features."""
    real, fake = (part.values.mean(axis=0) for part in measurement.main)
    return {"mean_gap": Estimate(float(np.linalg.norm(real - fake)), float("nan"))}


RULES.register("fixed_rate_oja", Rule(OjaRule, has_rates=False))
METRICS.register("mean_gap", Metric("mean_gap", "mean gap", True, mean_gap, drawn=True))
