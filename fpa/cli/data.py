"""Verbs about data sets."""

import argparse
from pathlib import Path

import numpy as np

from fpa.cli import kinds
from fpa.cli.options import CONFIG, COUNT, MOST_THREADS, folder, option, refuse, verb, whole, writes
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import save_array
from fpa.core.progress import log
from fpa.data import prepare as preparation
from fpa.data import store
from fpa.data.download import fetch_archive
from fpa.data.inspection import contact_sheet, describe
from fpa.data.readers import in_words
from fpa.data.sources import SOURCES, DatasetSpec, archive_path
from fpa.experiment.config import check_config, read_config, resolve_dataset


@verb(
    option("source", "afhq_cat, afhq_dog, afhq_wild (one archive) or lsun_church"),
    CONFIG,
    option(
        "--out",
        "default: archives/ in the experiment's data folder",
        type=kinds.file,
        metavar="FILE",
    ),
)
def download(options: argparse.Namespace) -> None:
    SOURCES.find(options.source)
    out = options.out
    if not out:
        data = Path(check_config(read_config(options.config)).data)
        out = archive_path(options.source, data)
    fetch_archive(options.source, Path(out))


DATASET = (
    option("dataset", "a data set of the configuration or of this project (celeba, ...)"),
    option(
        "settings",
        "settings that replace the configuration's, as in path=photos.zip resolution=32",
        nargs="*",
        metavar="KEY=VALUE",
    ),
    option("--config", "the experiment (config.yaml)"),
    option("--no-config", "read no configuration: the settings say it all", action="store_true"),
    folder(
        "--out",
        "folder of the prepared images, if not the usual one",
        type=kinds.folder_for("a prepared data set"),
    ),
)


def _resolved(options: argparse.Namespace) -> tuple[DatasetSpec, Path]:
    if options.no_config:
        refuse(options, "is not read with --no-config", "--config")
    config = None if options.no_config else options.config or "config.yaml"
    spec, folder = resolve_dataset(options.dataset, options.settings, config)
    return spec, Path(options.out) if options.out else folder


@verb(
    *DATASET,
    option("--workers", "processes (0: one a core)", type=whole(0, MOST_THREADS), default=0),
    option("--verify", "only check what is prepared, every byte", action="store_true"),
)
def prepare(options: argparse.Namespace) -> None:
    spec, folder = _resolved(options)
    if options.verify:
        store.check_dataset(store.read_manifest(folder), spec, folder)
        manifest = store.verify(folder)
        log.info("%s: %d images, as the manifest says", folder, manifest.count)
        return
    manifest = preparation.prepare(spec, folder, options.workers)
    same = manifest.duplicates.images
    log.info(
        "%s: %d images of %d px in %s%s; not taken: %s",
        spec.name,
        manifest.count,
        spec.resolution,
        folder,
        f"; {same} are exact duplicates" if same else "",
        in_words(manifest.not_taken) or "none",
    )


@verb(
    *DATASET,
    option("--count", "images on the contact sheet", type=COUNT, default=64),
    option(
        "--sheet",
        "default: contact-sheet.png in that folder",
        type=kinds.output(kinds.PICTURE),
        metavar="PNG",
    ),
)
def inspect(options: argparse.Namespace) -> None:
    folder = Path(options.dataset)
    if (folder / artifacts.MANIFEST).exists():
        refuse(
            options, f"is not for {folder}, which is prepared", "--config", "--no-config", "--out"
        )
        if options.settings:
            raise UserError(f"{folder} is prepared; leave out {' '.join(options.settings)}")
    else:
        try:
            _, folder = _resolved(options)
        except UserError as error:
            if not folder.exists():
                raise
            raise UserError(f"{folder} holds no prepared data set, and {error}") from error
    images, manifest = store.open_store(folder)
    sheet = Path(options.sheet or folder / "contact-sheet.png")
    contact_sheet(images, options.count, sheet)
    print(describe(manifest, folder))
    print(f"{'contact sheet':<14} {sheet}")


@verb(
    folder("store", "the prepared data set"),
    option("--count", "number of images", type=COUNT, default=64),
    writes(kinds.IMAGES, "the images, .npy"),
)
def real_samples(options: argparse.Namespace) -> None:
    images, _ = store.open_store(options.store)
    save_array(options.out, np.asarray(images[: options.count]))
