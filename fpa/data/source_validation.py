"""Whether a prepared data set is still that of its source."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from fpa.core import artifacts
from fpa.core.errors import UserError, in_words
from fpa.core.files import digest_of_many, write_json
from fpa.core.progress import log
from fpa.core.provenance import STAGES
from fpa.data.picture import FILTERS, decode, is_read
from fpa.data.readers import FORMERLY, Listing, Reader, list_images
from fpa.data.sources import SOURCES, DatasetSpec
from fpa.data.store import Manifest, check_dataset, read_manifest


def stamp(reader: Reader, listing: Listing) -> str:
    """Digest of the names, sizes and times of a source's files, wherever the source lies."""
    path = reader.path
    if path is None or path.is_file():
        about = path.stat() if path else None
        return digest_of_many([[about.st_size, about.st_mtime_ns] if about else None])
    return digest_of_many(
        [found.name, found.size, found.place[1] if found.place else None]
        for found in listing.images
    )


def check_source(dataset: DatasetSpec, folder: Path) -> bool:
    """Whether the data set is prepared in the folder, from the images that its source holds now.

    Reads the images only if names, sizes or times differ; then, if they are the same images, the
    manifest gets the new times, and forgets unreadable ones that are gone. An official archive is
    taken to be what it was; so is a source that is not there any more. UserError when more images are
    unreadable than the data set allows now, when one that was unreadable has been mended, when the
    folder holds another data set, and when the images are others: they are never prepared over those
    that runs may have been trained on.
    """
    if not all((folder / name).exists() for name in (artifacts.MANIFEST, artifacts.IMAGES)):
        return False
    manifest = read_manifest(folder)
    check_dataset(manifest, dataset, folder)
    if manifest.stages.get("prepare") != STAGES["prepare"]:
        return False
    source, path = SOURCES[dataset.source], dataset.path
    if path is not None and source.needs_path and Path(path).expanduser().exists():
        _compare(dataset, path, manifest, folder)
        reasons = [entry.reason.partition(";")[0] for entry in manifest.unreadable]
        if readable := [kind for kind in reasons if is_read(kind)]:
            log.warning(
                "%s was prepared without %d images (%s) that can be read now; delete it to prepare it "
                "with them",
                *(folder, len(readable), in_words(sorted({*readable}))),
            )
    unreadable = len(manifest.unreadable)
    if unreadable > dataset.max_unreadable:
        raise UserError(
            f"{folder} was prepared without {unreadable:,} images that cannot be read, but "
            f"max_unreadable is {dataset.max_unreadable} now; set datasets.{dataset.name}."
            f"max_unreadable: {unreadable}, remove them, or mend them and delete {folder}"
        )
    return True


def _compare(dataset: DatasetSpec, path: str, manifest: Manifest, folder: Path) -> None:
    """UserError unless the source holds the images of the manifest, which gets its times."""
    source = SOURCES[dataset.source]
    with contextlib.closing(source.open(path, folder)) as reader:
        # Files that an earlier version did not look into are still not among the images.
        formerly = {entry.name for entry in manifest.ignored if entry.reason == FORMERLY}
        listing = list_images(reader, source.folders, formerly)
        now = stamp(reader, listing)
        if now == manifest.source.stamp:
            return
        log.info("%s: other names, sizes or times than when it was prepared; comparing", path)
        if mended := _mended(dataset, reader, listing, manifest):
            raise UserError(
                f"{folder} was prepared without {', '.join(mended[:3])}"
                f"{', ...' if len(mended) > 3 else ''}, which could not be read then and can be "
                f"now ({len(mended):,} of {path}); delete {folder} to prepare it with "
                f"{'it' if len(mended) == 1 else 'them'}"
            )
        if digest_of_many(_files(reader, listing, manifest)) != manifest.source.files_sha256:
            raise UserError(
                f"{folder} was prepared from other images than {path} holds now "
                f"({manifest.count:,} then, {len(listing.images):,} now); put those back, give "
                f"these another path, or delete {folder} to prepare it from them"
            )
    manifest.source.stamp = now
    there = {found.name for found in listing.images}
    manifest.unreadable = [entry for entry in manifest.unreadable if entry.name in there]
    # Another user's data folder: then they are compared again next time.
    with contextlib.suppress(UserError):
        write_json(folder / artifacts.MANIFEST, manifest.as_json())


def _mended(
    dataset: DatasetSpec, reader: Reader, listing: Listing, manifest: Manifest
) -> list[str]:
    """Images that could not be read when the data set was prepared, and can be now."""
    unreadable = {entry.name for entry in manifest.unreadable}
    found = []
    for image in listing.images:
        if image.name in unreadable and not image.problem:
            # Decoders raise whatever they like.
            with contextlib.suppress(Exception):
                data = reader.read(image.place)
                decode(data, dataset.resolution, dataset.channels, FILTERS[dataset.filter])
                found.append(image.name)
    return found


def _files(reader: Reader, listing: Listing, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Names and digests of the files that the manifest counts among the images."""
    unreadable = {entry.name for entry in manifest.unreadable}
    for found in listing.images:
        if found.name not in unreadable and not found.problem:
            with contextlib.suppress(OSError, ValueError):
                yield found.name, hashlib.sha256(reader.read(found.place)).hexdigest()
