"""The data sets that are known by name: origin, licence, citation, size, and what must be in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpa.common.errors import UserError, did_you_mean
from fpa.common.files import digest


@dataclass(frozen=True)
class Source:
    """A known source of images: all that this project says about it, in one place."""

    description: str
    count: int | None = None
    """Images that the paper's training set holds; None where any number is right."""
    archive: str = ""
    """Name of the official archive; empty where there is none."""
    size: str = ""
    """Of the archive."""
    page: str = ""
    """Where the archive is offered."""
    url: str = ""
    """Where it can be fetched unattended; empty where a person must (forms, quotas)."""
    md5: str = ""
    """Published digest of the archive, where one is published."""
    folders: tuple[str, ...] = ("",)
    """Where the images lie in the archive: the first of these that holds images is read."""
    licence: str = ""
    citation: str = ""


def _afhq(kind: str, count: int) -> Source:
    return Source(
        description=f"Animal Faces-HQ v1, training images of class {kind}, 512 x 512 px",
        count=count,
        archive="afhq.zip",
        size="0.7 GB",
        page="https://github.com/clovaai/stargan-v2",
        url="https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1",
        folders=(f"train/{kind}",),
        licence="CC BY-NC 4.0",
        citation="Choi et al., StarGAN v2, CVPR 2020",
    )


SOURCES = {
    "celeba": Source(
        description="CelebA faces, aligned and cropped, 178 x 218 px",
        count=202_599,
        archive="img_align_celeba.zip",
        size="1.4 GB",
        page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        md5="00d2c5bc6d35e252742224ab0c1e8fcb",
        folders=("img_align_celeba",),
        licence="non-commercial research only",
        citation="Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015",
    ),
    "lsun_church": Source(
        description="LSUN Church outdoor, training images, short side 256 px",
        count=126_227,
        archive="church_outdoor_train_lmdb.zip",
        size="2.4 GB",
        page="https://github.com/fyu/lsun",
        url="http://dl.yf.io/lsun/scenes/church_outdoor_train_lmdb.zip",
        licence="none stated; research use",
        citation="Yu et al., LSUN, arXiv:1506.03365",
    ),
    "afhq_cat": _afhq("cat", 5_153),
    "afhq_dog": _afhq("dog", 4_739),
    "afhq_wild": _afhq("wild", 4_738),
    "metfaces": Source(
        description="MetFaces, faces from works of art, 1024 x 1024 px",
        count=1_336,
        archive="images.zip",
        size="1.6 GB",
        page="https://github.com/NVlabs/metfaces-dataset",
        folders=("images", ""),
        licence="CC BY-NC 2.0",
        citation="Karras et al., Training GANs with Limited Data, NeurIPS 2020",
    ),
    "digits": Source(
        description="UCI handwritten digits, grey, 8 x 8 px, shipped with scikit-learn",
        count=1_797,
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
    ),
    "folder": Source(description="your own images: a folder, zip or tar of them"),
}


def resolve(name: str, spec: Mapping[str, Any], data: Path, where: str) -> dict[str, Any]:
    """A data set's complete settings: its source, expected count and the place of its images.

    `data` is the folder of prepared data; archives are looked for in its `archives`. UserError for
    an unknown source and for settings that do not go together.
    """
    chosen = spec["source"] or name
    if chosen not in SOURCES:
        known = did_you_mean(chosen, list(SOURCES))
        raise UserError(
            f"{where}: unknown data set '{chosen}'{known} "
            "(for images of your own: source: folder, path: <folder or zip>)"
        )
    source = SOURCES[chosen]
    path = spec["path"]
    if path is None and source.archive:
        path = str(archive_path(chosen, data))
    if chosen == "folder" and path is None:
        raise UserError(f"{where}: source folder needs a path to a folder, zip or tar of images")
    if chosen == "digits" and path is not None:
        raise UserError(f"{where}.path: digits come with scikit-learn; leave path out")
    count = source.count if spec["count"] is None else spec["count"]
    return {**spec, "name": name, "source": chosen, "count": count, "path": path}


def identity(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say which images these are. Where an official archive lies is none."""
    keys = ["name", "source", "resolution", "channels", "filter", "count"]
    if dataset["source"] == "folder":
        keys.append("path")
    return {key: dataset[key] for key in keys}


def store_name(dataset: Mapping[str, Any]) -> str:
    """A prepared data set's folder name: what it is for people, a digest for the rest."""
    return f"{dataset['name']}-{dataset['resolution']}px-{digest(identity(dataset))[:10]}"


def downloadable(dataset: Mapping[str, Any], data: Path) -> bool:
    """Whether the data set's archive is fetched unattended: its source allows it, no other is named."""
    source = SOURCES[dataset["source"]]
    return bool(source.url) and Path(dataset["path"]) == archive_path(dataset["source"], data)


def archive_path(source: str, data: Path) -> Path:
    """Where a source's official archive is looked for."""
    return data / "archives" / SOURCES[source].archive


def instructions(dataset: Mapping[str, Any]) -> str:
    """What to fetch, from where, and where to put it, for an archive that is not there."""
    source = SOURCES[dataset["source"]]
    path, key = dataset["path"], f"datasets.{dataset['name']}.path"
    if not source.archive:
        return f"{key}: there is no {path}; set it to a folder, zip or tar of images"
    how = (
        f"`python -m fpa download {dataset['source']}` fetches it"
        if source.url
        else f"get {source.archive} ({source.size}; {source.licence}) from {source.page}"
    )
    return (
        f"{dataset['name']}: there is no {path}; {how}, or set {key} to where you have it "
        "(zip, tar or unpacked folder)"
    )
