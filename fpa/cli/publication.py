"""Verbs about results that are handed on."""

import argparse
from pathlib import Path

from fpa.cli.verbs import Add, add_device, add_trust, verb
from fpa.core.errors import UserError
from fpa.core.progress import log


def _publish(add: Add) -> None:
    add("results", metavar="DIR", help="the results folder of a finished experiment")
    add("--out", metavar="DIR", required=True, help="a new folder")
    add(
        "--author",
        action="append",
        default=[],
        metavar="NAME",
        help="'Family, Given', or a group's name; repeat it for several",
    )
    add("--licence", metavar="SPDX", help="of the results and models, as in CC-BY-4.0")
    add_trust(add)


@verb(_publish)
def publish(options: argparse.Namespace) -> None:
    """Make a folder for an archive: bundle, page, tables, models with cards, citation, datasheet."""
    from fpa.reporting.publication.publish import publish

    out = Path(options.out)
    files = publish(Path(options.results), out, options.author, options.licence)
    size = sum((out / name).stat().st_size for name in files) / 1e6
    log.info("%s: %d files, %.1f MB; `python -m fpa checklist %s`", out, len(files), size, out)


def _checklist(add: Add) -> None:
    add("folder", metavar="DIR", help="from python -m fpa publish")


@verb(_checklist)
def checklist(options: argparse.Namespace) -> None:
    """Say what an archive or an artifact evaluation would miss in a published folder."""
    from fpa.reporting.publication.checklist import missing

    found = missing(Path(options.folder))
    if found:
        raise UserError("\n".join([f"{options.folder}: open points: {len(found)}", *found]))
    log.info("%s: nothing is missing", options.folder)


def _verify(add: Add) -> None:
    add("folder", metavar="DIR", help="from python -m fpa publish")
    add(
        "--rescore",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="also sample from this share of the models, drawn at random, and score them again",
    )
    add("--data", metavar="DIR", default="data", help="the folder with the prepared images (data)")
    add("--seed", type=int, default=0, help="seed of the draw")
    add_device(add)
    add_trust(add)


@verb(_verify)
def verify(options: argparse.Namespace) -> None:
    """Make a published folder's tables and figures again and compare them."""
    from fpa.reporting.publication.verify import verify

    device = None
    if options.rescore:
        from fpa.runs import devices

        device = devices.choose(options.device, options.threads)
    found = verify(
        Path(options.folder),
        options.rescore,
        Path(options.data),
        options.seed,
        device,
    )
    if found:
        raise UserError("\n".join([f"{options.folder} does not hold:", *found]))
    log.info("%s: everything is as published", options.folder)
