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


HIDDEN, SIZE, HEAD = 12, 16, 4
PAINTER = {"steps": 4, "latent_dim": 8, "hidden_size": HIDDEN, "mini_input_size": 8}
DISTRIBUTIONS = {
    **{"zero": Constant(0.0), "one": Constant(1.0), "default": Uniform(), "kaiming": Normal()},
    **{"unit": Normal(1.0), "lstm": Uniform(1 / math.sqrt(HIDDEN)), "head": Normal(HEAD**-0.5)},
    **{f"kvb{c}": Uniform(1 / math.sqrt(c * (2 * SIZE + 1))) for c in (1, 3)},
    **{"mapping": Normal(100.0), "dcgan": Normal(0.02)},  # 100: 1 / the rate of 0.01
}
LSTM = r"""
    program\.sequence\.lstm\.\w+                                lstm"""
TO_INPUT = r"""
    program\.inputs\.to_input\.weight                           kaiming
    program\.inputs\.to_input\.bias                             default"""
V2 = rf"""{LSTM}{TO_INPUT}
    program\.inputs\.to_(state|mini)\.(weight|bias)             default
    program\.to_kvb\.(weight|bias)                              kvb"""
V1 = rf"""{LSTM}
    program\.inputs\.to_state\.weight                           kaiming
    program\.inputs\.to_state\.bias                             default
    program\.to_kvb\.(weight|bias)                              kvb1"""
POSITIONS = r"""
    program\.position_codes                                     unit"""
# Transformer and recurrent fast weights start as torch's layers do.
OWN = r"""
    program\.sequence\..*(projection|out|layers\.[02]|to_width)\.(weight|bias)  default
    program\.to_kvb\.(weight|bias)                              default"""
HEADS = {"heads": HIDDEN // HEAD, "feedforward_size": 12}
PAINTERS = {
    "v2": ({}, 1, V2),
    "v2 with every option": (
        {"position_codes": True, "learned_initial": True, "wide_dim": 6},
        3,
        rf"""{V2}{POSITIONS}
    program\.wide\.0\.(weight|bias)                             default
    initial                                                     unit""",
    ),
    "v2 with vector rates": ({"vector_rates": True, "layers": 2}, 3, V2),
    "v1": ({"inputs": "v1"}, 1, V1),
    "v1 additive": (
        {"inputs": "v1", "rule": "additive"},
        1,
        rf"""{LSTM}
    program\.(inputs\.to_state|to_kvb)\.(weight|bias)           default""",
    ),
    "v2 by Oja's rule": (
        {"rule": "oja", "latent_to_state": False, "vector_rates": True},
        3,
        V2.replace("(state|mini)", "mini"),
    ),
    "v2 with a decay": ({"rule": "gated_delta"}, 3, V2),
    "split": (
        {"inputs": "split"},
        3,
        rf"""{LSTM}{TO_INPUT}
    program\.to_kvb\.(weight|bias)                              kvb3""",
    ),
    "Transformer": (
        {"inputs": "split", "sequence": "transformer", **HEADS, "position_codes": True},
        3,
        rf"""{OWN}{POSITIONS}
    program\.inputs\.to_input\.(weight|bias)                    default""",
    ),
    "recurrent fast weights": (
        {"inputs": "v1", "sequence": "rfwp", **HEADS},
        3,
        rf"""{OWN}
    program\.inputs\.to_state\.(weight|bias)                    default
    program\.sequence\..*\.(R_[qkv]|r_b)                        head""",
    ),
}
DISCRIMINATOR = r"""
    discriminator\.(?!.*norm).*weight                           kaiming
    discriminator\..*bias                                       default"""
NORMS = r"""
    .*norm\.(gain|weight)                                       one
    .*norm\.(shift|bias)                                        zero"""
UNET = rf"""{NORMS}{DISCRIMINATOR}
    generator\.unet\..*block[12]\.1\.weight                     one
    generator\.unet\..*block[12]\.1\.bias                       zero
    generator\.unet\.(?!.*(norm|block[12]\.1)).*(weight|bias)   default"""
LIGHTGAN = rf"""{NORMS}{DISCRIMINATOR}
    generator\.start\.0\.(weight|bias)                          default
    generator\.start\.1\.weight                                 one
    generator\.start\.1\.bias                                   zero
    generator\..*noise\.weight                                  zero
    generator\.(?!start)(?!.*(norm|noise)).*weight              kaiming
    generator\.(?!start)(?!.*(norm|noise)).*bias                default"""
STYLEGAN2 = r"""
    generator\.mapping\.layers\.\d\.weight                      mapping
    generator\.mapping\.layers\.\d\.bias                        zero
    generator\.synthesis\.constant                              unit
    generator\..*\.affine\.bias                                 one
    generator\.synthesis\.blocks\.(?!.*affine).*\.bias          zero
    generator\.synthesis\.blocks\..*\.weight                    unit
    generator\..*\.noise_strength                               zero
    discriminator\..*weight                                     unit
    discriminator\..*bias                                       zero"""
DCGAN = r"""
    generator\.[147]\.weight                                    dcgan
    generator\.[147]\.bias                                      default
    discriminator\.[025]\.weight                                dcgan
    discriminator\.[025]\.bias                                  default
    (generator\.[25]|discriminator\.3)\.weight                  one
    (generator\.[25]|discriminator\.3)\.bias                    zero"""


def fpa(painter: dict) -> dict:
    attention = {**SMALL, "attention": [16], "head_dim": 8}
    return {"painter": {**PAINTER, **painter}, "discriminator": attention}


def lines(text: str, prefix: str = "", channels: int = 1) -> list:
    """(pattern, distribution) of each line; kvb alone is that of so many channels."""
    rows = [line.split() for line in text.strip().splitlines()]
    named = {"kvb": DISTRIBUTIONS[f"kvb{channels}"], **DISTRIBUTIONS}
    return [(prefix + where, named[what]) for where, what in rows]


BASE = fpa({})
LIGHT = {"latent_dim": 8, "fmap_max": 8, "attention": [16], "head_dim": 8}
STYLE = {"latent_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8}
FPA, STYLED = "fpa.models:FPA", "baselines.stylegan2_ada:StyleGAN2ADA"
# What is built: class, settings, channels, and the distribution of every parameter.
TABLES = {
    **{
        name: (FPA, fpa(of), n, lines(text, r"generator\.", n) + lines(NORMS + DISCRIMINATOR))
        for name, (of, n, text) in PAINTERS.items()
    },
    "U-Net": (
        *("fpa.models:FPAUNet", {"unet": {"max_multiplier": 2}}, 1),
        lines(V2, r"generator\.painter\.") + lines(UNET),
    ),
    "LightGAN": (
        "baselines.lightgan:LightGAN",
        {"generator": LIGHT, "discriminator": BASE["discriminator"]},
        *(1, lines(LIGHTGAN)),
    ),
    "StyleGAN2": (STYLED, {"preset": "stylegan2", "networks": STYLE}, 1, lines(STYLEGAN2)),
    "StyleGAN2 cifar": (STYLED, {"preset": "cifar", "networks": STYLE}, 3, lines(STYLEGAN2)),
    "DCGAN": ("baselines.dcgan:DCGAN", {"width": 4, "latent_dim": 8}, 1, lines(DCGAN)),
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
