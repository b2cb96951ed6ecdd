"""Every parameter of every model starts from the published distribution.

The tables below name a distribution for each parameter. A parameter that no line covers fails the
test, and so does a line that covers none. Values are pooled over SEEDS models; the tolerances are
five standard errors of what is compared, for that many values.
"""

import math
import re
from dataclasses import dataclass

import pytest
import torch
from conftest import DISCRIMINATOR as SMALL
from torch import Tensor

from fpa.models import loading
from fpa.models.settings import FPASettings

SEEDS = 64
ERRORS = 5


@dataclass(frozen=True)
class Constant:
    value: float

    def check(self, x: Tensor, fan: int) -> None:
        assert bool((x == self.value).all())


@dataclass(frozen=True)
class Uniform:
    """Uniform in +-bound, or in +-1/sqrt(fan-in): torch's default for weights and biases."""

    bound: float | None = None

    def check(self, x: Tensor, fan: int) -> None:
        bound = self.bound or 1 / math.sqrt(fan)
        n = x.numel()
        # The largest of n values falls short of its bound by more than 20 / n with probability e^-20.
        assert bound * (1 - 20 / n) < x.abs().max().item() <= bound * (1 + 1e-6)
        deviation = bound / math.sqrt(3)
        assert abs(x.mean().item()) < ERRORS * deviation / math.sqrt(n)
        # Kurtosis 9/5: the variance of n values has a relative error of sqrt(0.8 / n).
        assert x.var().item() == pytest.approx(deviation**2, rel=ERRORS * math.sqrt(0.8 / n))


@dataclass(frozen=True)
class Normal:
    """Normal with this deviation, or sqrt(2 / fan-in): Kaiming."""

    deviation: float | None = None

    def check(self, x: Tensor, fan: int) -> None:
        deviation = self.deviation or math.sqrt(2 / fan)
        n = x.numel()
        assert n > 420, "fewer values would not tell it from a uniform distribution"
        assert abs(x.mean().item()) < ERRORS * deviation / math.sqrt(n)
        assert x.var().item() == pytest.approx(deviation**2, rel=ERRORS * math.sqrt(2 / n))
        kurtosis = ((x - x.mean()) ** 4).mean() / x.var() ** 2
        assert kurtosis.item() == pytest.approx(3, abs=ERRORS * math.sqrt(24 / n))


DEFAULT, KAIMING, UNIT = Uniform(), Normal(), Normal(1.0)
ZERO, ONE = Constant(0.0), Constant(1.0)

HIDDEN, SIZE = 12, 16
PAINTER = {"steps": 4, "latent_dim": 8, "hidden_size": HIDDEN, "mini_input_size": 8}


def kvb(channels: int) -> Uniform:
    return Uniform(1 / math.sqrt(channels * (2 * SIZE + 1)))


LSTM = [(r"program\.sequence\.lstm\.\w+", Uniform(1 / math.sqrt(HIDDEN)))]
V2 = [
    *LSTM,
    (r"program\.inputs\.to_(state|mini)\.(weight|bias)", DEFAULT),
    (r"program\.inputs\.to_input\.weight", KAIMING),
    (r"program\.inputs\.to_input\.bias", DEFAULT),
]
V1 = [
    *LSTM,
    (r"program\.inputs\.to_state\.weight", KAIMING),
    (r"program\.inputs\.to_state\.bias", DEFAULT),
]
KVB = r"program\.to_kvb\.(weight|bias)"
DISCRIMINATOR = [
    (r"discriminator\.(?!.*norm).*weight", KAIMING),
    (r"discriminator\..*bias", DEFAULT),
]
DUAL_ATTENTION = [(r".*\.norm\.gain", ONE), (r".*\.norm\.shift", ZERO)]
NORMS = [(r".*norm\.(gain|weight)", ONE), (r".*norm\.(shift|bias)", ZERO)]
STYLEGAN2 = [
    (r"generator\.mapping\.layers\.\d\.weight", Normal(100.0)),  # 1 / the rate of 0.01
    (r"generator\.mapping\.layers\.\d\.bias", ZERO),
    (r"generator\.synthesis\.constant", UNIT),
    (r"generator\..*\.affine\.bias", ONE),
    (r"generator\.synthesis\.blocks\.(?!.*affine).*\.bias", ZERO),
    (r"generator\.synthesis\.blocks\..*\.weight", UNIT),
    (r"generator\..*\.noise_strength", ZERO),
    (r"discriminator\..*weight", UNIT),
    (r"discriminator\..*bias", ZERO),
]
STYLEGAN2_NETWORKS = {"latent_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8}


def fpa(painter: dict) -> dict:
    attention = {**SMALL, "attention": [16], "head_dim": 8}
    return {"painter": {**PAINTER, **painter}, "discriminator": attention}


BASE = fpa({})
SPLIT = [
    (r"program\.inputs\.to_input\.weight", KAIMING),
    (r"program\.inputs\.to_input\.bias", DEFAULT),
]
OWN = r"program\.sequence\..*(projection|out|layers\.[02]|to_width)\.(weight|bias)"
LAYER_NORMS = [
    (r"program\.sequence\..*\.norm\.weight", ONE),
    (r"program\.sequence\..*\.norm\.bias", ZERO),
]
"""Of the Transformer and the recurrent fast weights, which start as torch's layers do."""
HIDDEN_OF_A_HEAD = 4
HEADS = {"heads": HIDDEN // HIDDEN_OF_A_HEAD, "feedforward_size": 12}
# What is built: class, settings, size and channels, distributions of painter and the rest.
MODELS = {
    "v2": ("fpa.models:FPA", fpa({}), 1, [*V2, (KVB, kvb(1))]),
    "v2 with every option": (
        "fpa.models:FPA",
        fpa({"position_codes": True, "learned_initial": True, "wide_dim": 6}),
        3,
        [
            *V2,
            (KVB, kvb(3)),
            (r"program\.position_codes", UNIT),
            (r"program\.wide\.0\.(weight|bias)", DEFAULT),
            (r"initial", UNIT),
        ],
    ),
    "v2 with vector rates": (
        "fpa.models:FPA",
        fpa({"vector_rates": True, "layers": 2}),
        3,
        [*V2, (KVB, kvb(3))],
    ),
    "v1": ("fpa.models:FPA", fpa({"inputs": "v1"}), 1, [*V1, (KVB, kvb(1))]),
    "v1 additive": (
        "fpa.models:FPA",
        fpa({"inputs": "v1", "rule": "additive"}),
        1,
        [*LSTM, (r"program\.(inputs\.to_state|to_kvb)\.(weight|bias)", DEFAULT)],
    ),
    "v2 by Oja's rule": (
        "fpa.models:FPA",
        fpa({"rule": "oja", "latent_to_state": False, "vector_rates": True}),
        3,
        [(where.replace("(state|mini)", "mini"), what) for where, what in [*V2, (KVB, kvb(3))]],
    ),
    "v2 with a decay": ("fpa.models:FPA", fpa({"rule": "gated_delta"}), 3, [*V2, (KVB, kvb(3))]),
    "split": ("fpa.models:FPA", fpa({"inputs": "split"}), 3, [*LSTM, *SPLIT, (KVB, kvb(3))]),
    "Transformer": (
        "fpa.models:FPA",
        fpa({"inputs": "split", "sequence": "transformer", **HEADS, "position_codes": True}),
        3,
        [
            (r"program\.inputs\.to_input\.(weight|bias)", DEFAULT),
            (r"program\.position_codes", UNIT),
            (OWN, DEFAULT),
            *LAYER_NORMS,
            (KVB, DEFAULT),
        ],
    ),
    "recurrent fast weights": (
        "fpa.models:FPA",
        fpa({"inputs": "v1", "sequence": "rfwp", **HEADS}),
        3,
        [
            (r"program\.inputs\.to_state\.(weight|bias)", DEFAULT),
            (r"program\.sequence\..*\.(R_[qkv]|r_b)", Normal(HIDDEN_OF_A_HEAD**-0.5)),
            (OWN, DEFAULT),
            *LAYER_NORMS,
            (KVB, DEFAULT),
        ],
    ),
}
TABLES = {
    name: (
        class_name,
        settings,
        channels,
        [(rf"generator\.{where}", what) for where, what in painter]
        + DUAL_ATTENTION
        + DISCRIMINATOR,
    )
    for name, (class_name, settings, channels, painter) in MODELS.items()
} | {
    "U-Net": (
        "fpa.models:FPAUNet",
        {"unet": {"max_multiplier": 2}},
        1,
        [(rf"generator\.painter\.{where}", what) for where, what in [*V2, (KVB, kvb(1))]]
        + NORMS
        + [
            (r"generator\.unet\..*block[12]\.1\.weight", ONE),
            (r"generator\.unet\..*block[12]\.1\.bias", ZERO),
            (r"generator\.unet\.(?!.*(norm|block[12]\.1)).*(weight|bias)", DEFAULT),
            *DISCRIMINATOR,
        ],
    ),
    "LightGAN": (
        "baselines.lightgan:LightGAN",
        {
            "generator": {"latent_dim": 8, "fmap_max": 8, "attention": [16], "head_dim": 8},
            "discriminator": fpa({})["discriminator"],
        },
        1,
        [
            (r"generator\.start\.0\.(weight|bias)", DEFAULT),
            (r"generator\.start\.1\.weight", ONE),
            (r"generator\.start\.1\.bias", ZERO),
            (r"generator\..*noise\.weight", ZERO),
            *NORMS,
            (r"generator\.(?!start)(?!.*(norm|noise)).*weight", KAIMING),
            (r"generator\.(?!start)(?!.*(norm|noise)).*bias", DEFAULT),
            *DISCRIMINATOR,
        ],
    ),
    "StyleGAN2": (
        "baselines.stylegan2_ada:StyleGAN2ADA",
        {"preset": "stylegan2", "networks": STYLEGAN2_NETWORKS},
        1,
        STYLEGAN2,
    ),
    "StyleGAN2 cifar": (
        "baselines.stylegan2_ada:StyleGAN2ADA",
        {"preset": "cifar", "networks": STYLEGAN2_NETWORKS},
        3,
        STYLEGAN2,
    ),
    "DCGAN": (
        "baselines.dcgan:DCGAN",
        {"width": 4, "latent_dim": 8},
        1,
        [
            (r"generator\.[147]\.weight", Normal(0.02)),
            (r"generator\.[147]\.bias", DEFAULT),
            (r"discriminator\.[025]\.weight", Normal(0.02)),
            (r"discriminator\.[025]\.bias", DEFAULT),
            (r"(generator\.[25]|discriminator\.3)\.weight", ONE),
            (r"(generator\.[25]|discriminator\.3)\.bias", ZERO),
        ],
    ),
}
# Skip excitation starts at 128 px.
SIZES = {"LightGAN": 128}


def networks(name: str, seed: int) -> dict:
    class_name, settings, channels, _ = TABLES[name]
    torch.manual_seed(seed)
    base = BASE if name == "U-Net" else None
    model = loading.build(class_name, settings, SIZES.get(name, SIZE), channels, base)
    return model.networks


@pytest.mark.parametrize("name", list(TABLES))
def test_every_parameter_starts_as_published(name):
    table = TABLES[name][3]
    values: dict[str, list[Tensor]] = {}
    fans: dict[str, int] = {}
    for seed in range(SEEDS):
        for network, module in networks(name, seed).items():
            if network == "ema":
                continue
            parameters = dict(module.named_parameters())
            for path, parameter in parameters.items():
                weight = parameters.get(re.sub(r"bias$", "weight", path), parameter)
                full = f"{network}.{path}"
                values.setdefault(full, []).append(parameter.detach().flatten().double())
                fans[full] = weight[0].numel() if weight.dim() else 1
    unused = {where for where, _ in table}
    for path, parts in values.items():
        found = [(where, what) for where, what in table if re.fullmatch(where, path)]
        assert len(found) == 1, f"{path}: expected one line of the table, found {found}"
        where, what = found[0]
        unused.discard(where)
        try:
            what.check(torch.cat(parts), fans[path])
        except AssertionError as error:
            raise AssertionError(f"{path} is not {what}: {error}") from error
    assert not unused


def test_only_options_whose_start_changed_are_trained_again():
    def versions(**painter):
        return FPASettings(painter=painter).part_versions()

    assert versions() == versions(inputs="v1") == versions(wide_dim=8) == {}
    assert versions(rule="additive", softmax_keys=False) == {}
    for name, painter in {
        "position codes": {"position_codes": True},
        "learned W_0": {"learned_initial": True},
        "vector rates": {"vector_rates": True},
        "additive v1": {"rule": "additive", "inputs": "v1"},
    }.items():
        assert versions(**painter) == {name: 2}


@pytest.mark.parametrize("name", list(TABLES))
def test_the_average_starts_as_the_generator(name):
    found = networks(name, 0)
    assert found["ema"].state_dict().keys() == found["generator"].state_dict().keys()
    for path, value in found["ema"].state_dict().items():
        assert torch.equal(value, found["generator"].state_dict()[path])
