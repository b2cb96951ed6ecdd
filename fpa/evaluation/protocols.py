"""Evaluation protocols: which images, in which file format, through which resize and network."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fpa.core.errors import UserError, did_you_mean, explain
from fpa.evaluation.extractors import PAIRS, find_extractor

Format = Literal["array", "png", "jpeg"]
"""How the network gets images: as they are, or saved and read again."""
CHECK = "torch_fidelity"
"""In the place of a resize: the whole way from images to features by torch-fidelity's code."""

MOST_COVERED = 10_000
"""Images on either side of precision and recall, at most: 50,000 would take 25 times as long."""


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
                f"'{name}' is not a feature space; expected EXTRACTOR.RESIZE.FORMAT, "
                "as in efficientnet_lite0-96px.clean.array"
            )
        space = cls(*parts)
        network, _ = find_extractor(space.extractor, "feature space")
        resizes = (*network.resizes, CHECK)
        for value, known in ((space.resize, resizes), (space.format, get_args(Format))):
            if value not in known:
                raise UserError(
                    f"feature space '{name}': expected one of {', '.join(known)}, found '{value}'"
                )
        return space


class Protocol(BaseModel):
    """One way to score a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    extractor: str
    resize: str
    format: Format
    n_fake: int = Field(ge=2, le=100_000_000)
    n_real: int | None = Field(ge=2)
    """None for all real images"""

    @property
    def space(self) -> Space:
        """Its feature space; str() is its name in file names."""
        return Space(self.extractor, self.resize, self.format)

    @property
    def of_paths(self) -> bool:
        """Whether paths between latents are measured, and neither features nor real images are."""
        return self.resize == PAIRS

    @property
    def checked_spaces(self) -> tuple[Space, Space]:
        """The space of clean-fid and that of torch-fidelity whose distances must agree."""
        network, _ = find_extractor(self.extractor, self.name)
        return (
            self.space._replace(resize=network.check_resize),
            self.space._replace(resize=CHECK),
        )

    @property
    def most_covered(self) -> int:
        """Images on either side of precision and recall, if there are so many real ones."""
        counts = (MOST_COVERED, self.n_fake, self.n_real)
        return min(count for count in counts if count is not None)


KNOWN = {
    row[0]: Protocol(**dict(zip(Protocol.model_fields, row, strict=True)))
    for row in (
        ("paper", "inception_v3", "pytorch", "jpeg", 50_000, None),
        ("clean", "inception_v3", "clean", "array", 50_000, None),
        ("quick", "efficientnet_lite0-96px", "clean", "array", 2_000, None),
        ("dinov2", "dinov2_vitl14", "clean", "array", 50_000, None),
        ("clip", "clip_vit_l14_336", "clean", "array", 5_000, None),
        ("ppl", "lpips_vgg16", PAIRS, "array", 50_000, None),
    )
}
"""`paper`: pytorch-fid's network and resize, JPEG files, as in the paper; `clean`: as clean-fid
recommends (Parmar et al. 2022); `quick`: a network that installs with pip; `dinov2`: FD-DINOv2 (Stein et
al. 2023); `clip`: CMMD's network (Jayasumana et al. 2024); `ppl`: perceptual path length (Karras et al.
2019), of n_fake paths between latents and no real images. n_real None: all real images."""


def counted(about: Mapping[str, object]) -> str:
    """What a protocol or a score file is of, in words: network and numbers of images, or paths."""
    n = f"{about['n_fake']:,}"
    if about["resize"] == PAIRS:
        return f"{about['extractor']}, {n} paths between latents"
    real = "all" if about["n_real"] is None else f"{about['n_real']:,}"
    return (
        f"{about['extractor']} features, resize {about['resize']}, format {about['format']}, "
        f"{n} samples against {real} real images"
    )


def resolve(name: str, settings: Mapping[str, Any], where: str) -> Protocol:
    """A protocol of the configuration: the settings of a known one, replaced by what is given.

    UserError for settings that are none, when another protocol names no extractor, or an extractor is
    not available.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    values = {**KNOWN.get(name, KNOWN["clean"]).model_dump(), **given, "name": name}
    try:
        protocol = Protocol.model_validate(values, strict=True)
    except ValidationError as error:
        raise UserError(explain(error, Protocol, where, "setting")) from None
    if name not in KNOWN and "extractor" not in given:
        raise UserError(
            f"{where}: '{name}' is not a known protocol{did_you_mean(name, list(KNOWN))}; "
            f"known are {', '.join(KNOWN)}; a protocol of another name needs at least an extractor"
        )
    network, _ = find_extractor(protocol.extractor, f"{where}.extractor")
    if protocol.resize not in network.resizes:
        raise UserError(
            f"{where}.resize: {protocol.extractor} takes {' or '.join(network.resizes)}, "
            f"found '{protocol.resize}'"
        )
    return protocol
