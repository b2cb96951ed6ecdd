"""The data sets known by name: where they come from, their licence, citation, size and contents.

A plug-in registers a data set in SOURCES, with a reader if its images are not in a file.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fpa.core import artifacts
from fpa.core.errors import UserError, did_you_mean
from fpa.core.files import digest, read_json
from fpa.core.provenance import STAGES
from fpa.core.registry import Registry
from fpa.data.readers import DigitsReader, Reader, open_path


@dataclass(frozen=True)
class Source:
    """A known source of images.

    Its images come from a built-in reader, from an archive, or from a path that the user gives.
    """

    description: str
    count: int | None = None
    """Number of images in the paper's training set; None where any number is right."""
    archive: str = ""
    """Name of the official archive; empty where there is none."""
    size: str = ""
    """Size of the archive."""
    page: str = ""
    """Where the archive is offered."""
    url: str = ""
    """Where it can be downloaded automatically; empty where a person must (forms, quotas)."""
    md5: str = ""
    sha256: str = ""
    """Published digests of the archive, where there are any."""
    folders: tuple[str, ...] = ("",)
    """Where the images are in the archive: the first of these that holds images is read."""
    reader: Callable[[], Reader] | None = None
    """A Reader class, for a source that is not a file. Such a source takes no path."""
    package: str = ""
    """The Python package that the images come with, if they do."""
    licence: str = ""
    citation: str = ""

    @property
    def needs_path(self) -> bool:
        """Whether the user must say where the images are."""
        return self.reader is None and not self.archive

    def open(self, path: str | None, scratch: Path) -> Reader:
        """The reader of the images; UserError when they are missing, damaged or of no known kind.

        path: the file or folder; None for a source with a reader of its own. scratch: the folder
        where an archive is unwrapped if it must be.
        """
        if self.reader is not None:
            return self.reader()
        return open_path(Path(path or "").expanduser(), scratch)


def _afhq(kind: str, count: int) -> Source:
    return Source(
        description=f"Animal Faces-HQ v1, training images of class {kind}, 512 x 512 px",
        count=count,
        archive="afhq.zip",
        size="0.7 GB",
        page="https://github.com/clovaai/stargan-v2",
        url="https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1",
        # As UVCGANv2's script for downloading data sets has it.
        sha256="7f63dcc14ef58c0e849b59091287e1844da97016073aac20403ae6c6132b950f",
        folders=(f"train/{kind}",),
        licence="CC BY-NC 4.0",
        citation="Choi et al., StarGAN v2, CVPR 2020",
    )


SOURCES: Registry[Source] = Registry("data set", Source)
"""All data sets that a configuration can name as a source."""

SOURCES.register(
    "celeba",
    Source(
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
)
SOURCES.register(
    "lsun_church",
    Source(
        description="LSUN Church outdoor, training images, short side 256 px",
        count=126_227,
        archive="church_outdoor_train_lmdb.zip",
        size="2.4 GB",
        page="https://github.com/fyu/lsun",
        # The host has no valid certificate: the digest tells whether the file was changed.
        url="http://dl.yf.io/lsun/scenes/church_outdoor_train_lmdb.zip",
        sha256="91128ae026840ac0c5982b4445ab5fc4e092d6847cca76793b2b1a0815c2e74a",
        licence="none stated; research use",
        citation="Yu et al., LSUN, arXiv:1506.03365",
    ),
)
SOURCES.register("afhq_cat", _afhq("cat", 5_153))
SOURCES.register("afhq_dog", _afhq("dog", 4_739))
SOURCES.register("afhq_wild", _afhq("wild", 4_738))
SOURCES.register(
    "metfaces",
    Source(
        description="MetFaces, faces from works of art, 1024 x 1024 px",
        count=1_336,
        archive="images.zip",
        size="1.6 GB",
        page="https://github.com/NVlabs/metfaces-dataset",
        folders=("images", ""),
        licence="CC BY-NC 2.0",
        citation="Karras et al., Training GANs with Limited Data, NeurIPS 2020",
    ),
)
SOURCES.register(
    "digits",
    Source(
        description="UCI handwritten digits, grey, 8 x 8 px, shipped with scikit-learn",
        count=1_797,
        reader=DigitsReader,
        package="scikit-learn",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
    ),
)
SOURCES.register("folder", Source(description="your own images: a folder, zip or tar of them"))


UNKNOWN = "unknown"
"""In the place of a path: that of an imported run, whose images nobody knows."""


class DatasetSpec(BaseModel):
    """A data set's complete settings, as `resolve` gives them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    source: str
    """A name in SOURCES."""
    path: str | None = None
    """The file or folder of the images; None where a reader of its own brings them."""
    count: int | None = None
    """Images that there must be; None for any number."""
    max_unreadable: int = 0
    """Images that may be left out because they cannot be read."""
    channels: int = 3
    """1 (grey) or 3 (RGB)."""
    filter: str = "bilinear"
    """Resize filter, a name in fpa.data.picture.FILTERS."""
    resolution: int
    """Width and height (px)."""

    def as_json(self) -> dict[str, Any]:
        """What defines the images, as a run and a manifest say it.

        Where an official archive lies is not part of it, nor is how many images may be left out.
        """
        leave_out = {"max_unreadable"}
        if self.path is None or (self.source in SOURCES and not SOURCES[self.source].needs_path):
            leave_out.add("path")
        return self.model_dump(exclude=leave_out)

    def as_words(self) -> list[str]:
        """The name and the settings as `python -m fpa prepare` takes them."""
        pairs = [f"{key}={value}" for key, value in self if key != "name" and value is not None]
        return [self.name, *pairs]


def resolve(name: str, settings: Mapping[str, Any], data: Path, where: str) -> DatasetSpec:
    """A data set's complete settings: its source, expected count and the path of its images.

    settings: as a configuration has them. data: the data folder, where archives and prepared data
    sets are looked for. However a path is spelt, the data set is the same (`_one_spelling`). where: how an error message begins. UserError for an unknown source and for settings that do not
    go together.
    """
    chosen = settings["source"] or name
    if chosen not in SOURCES:
        known = did_you_mean(chosen, list(SOURCES))
        raise UserError(
            f"{where}: unknown data set '{chosen}'{known} "
            "(for images of your own: source: folder, path: <folder or zip>)"
        )
    source = SOURCES[chosen]
    path = settings["path"]
    if source.reader is not None and path is not None:
        why = f"come with {source.package}" if source.package else "are not read from a file"
        raise UserError(f"{where}.path: {chosen} {why}; leave path out")
    if source.needs_path and path is None:
        raise UserError(f"{where}: source {chosen} needs a path to a folder, zip or tar of images")
    if source.reader is None and path is None:
        path = str(archive_path(chosen, data))
    count = source.count if settings["count"] is None else settings["count"]
    found = {**settings, "name": name, "source": chosen, "count": count, "path": path}
    dataset = DatasetSpec.model_validate(found)
    return _one_spelling(dataset, data) if source.needs_path else dataset


def _one_spelling(dataset: DatasetSpec, data: Path) -> DatasetSpec:
    """The data set with the one spelling of its path that its digest is taken of.

    That of the data folder, where it is prepared already: as it is given, or in other words for the
    same place. Else without what says nothing (`./photos`, `photos/`), and relative to the working
    directory if it is below it.
    """
    usual = dataset.model_copy(update={"path": _usual_spelling(dataset.path or "")})
    for known in (dataset, usual):
        if (data / artifacts.store_manifest(store_name(known))).exists():
            return known
    for path in sorted(data.glob(artifacts.store_manifest("*"))):
        if not path.parent.name.startswith(_store(dataset, "")):
            continue
        try:
            prepared = DatasetSpec.model_validate(read_json(path)["dataset"])
        except (UserError, ValueError, TypeError, KeyError):
            continue
        # Its folder's name tells whether it is of this version.
        if path.parent.name == store_name(prepared) and not difference(prepared, dataset):
            return dataset.model_copy(update={"path": prepared.path})
    return usual


def _usual_spelling(path: str) -> str:
    given, here = os.path.expanduser(path), os.getcwd()
    whole = os.path.abspath(given)
    if not path or (os.path.exists(given) and not os.path.samefile(given, whole)):
        # It goes through a symbolic link and back.
        return path
    folder, name = os.path.split(whole)
    for place in (whole, os.path.join(os.path.realpath(folder), name)):
        if Path(place).is_relative_to(here):
            return os.path.relpath(place, here)
    # One that begins with ~ is the same for every user, one with .. for every copy of a project.
    return os.path.normpath(path)


def difference(found: DatasetSpec, expected: DatasetSpec) -> str:
    """The first setting that makes two data sets different ones, as a phrase; empty if none does.

    Names and the spelling of paths make no difference. Of images that nobody knows, which an imported
    run was trained on, size and channels alone are compared.
    """
    one, two = content(found), content(expected)
    keys = [*one, *(key for key in two if key not in one)]
    if UNKNOWN in (found.path, expected.path):
        keys = ["resolution", "channels"]
    for key in keys:
        ours, theirs = (getattr(dataset, key) for dataset in (found, expected))
        if ours == theirs or (key == "path" and _place(ours) == _place(theirs)):
            continue
        ours, theirs = ("any" if value is None else value for value in (ours, theirs))
        return f"{key} {ours}, expected {theirs}"
    return ""


def _place(path: str | None) -> str | None:
    return path and os.path.realpath(os.path.expanduser(path))


def content(dataset: DatasetSpec) -> dict[str, Any]:
    """What a digest of the images covers: settings that differ from their defaults, not the name."""
    source = SOURCES.get(dataset.source)
    defaults = {"channels": 3, "filter": "bilinear", "count": source.count if source else None}
    return {
        key: value
        for key, value in dataset.as_json().items()
        if key != "name" and (key not in defaults or value != defaults[key])
    }


def store_name(dataset: DatasetSpec) -> str:
    """A prepared data set's folder name: its name and size for people, a digest for the rest."""
    made = digest({"stage": STAGES["prepare"], **content(dataset)})
    return _store(dataset, made[:10])


def _store(dataset: DatasetSpec, made: str) -> str:
    return f"{dataset.name}-{dataset.resolution}px-{made}"


def downloadable(dataset: DatasetSpec, data: Path) -> bool:
    """Whether the data set is the official archive and that can be downloaded automatically."""
    if not SOURCES[dataset.source].url or dataset.path is None:
        return False
    return Path(dataset.path) == archive_path(dataset.source, data)


def archive_path(source: str, data: Path) -> Path:
    """Where a source's official archive is looked for."""
    return data / artifacts.archive(SOURCES[source].archive)


def instructions(name: str, source: str, path: object) -> str:
    """What to do about a data set's missing archive: what to get, from where, where to put it."""
    known, key = SOURCES[source], f"datasets.{name}.path"
    if not known.archive:
        return f"{key}: there is no {path}; set it to a folder, zip or tar of images"
    how = (
        f"`python -m fpa download {source}` fetches it"
        if known.url
        else f"get {known.archive} ({known.size}; {known.licence}) from {known.page}"
    )
    return (
        f"{name}: there is no {path}; {how}, or set {key} to where you have it "
        "(zip, tar or unpacked folder)"
    )
