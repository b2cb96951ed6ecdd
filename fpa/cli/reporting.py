"""Verbs that make tables, figures, the report and the bundle of finished work, and hand it on."""

import argparse
from pathlib import Path

from fpa.cli import kinds
from fpa.cli.options import Add, add_device, add_seed, add_trust, pause, share, verb
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.progress import log
from fpa.reporting import bundle as bundles
from fpa.reporting import publication
from fpa.reporting.make import make_figure, make_report, make_table, results_of_files
from fpa.reporting.status import show
from fpa.runs import devices


def _table(add: Add) -> None:
    add(
        "kind",
        help="claims, fid, kid, scores, comparisons, agreement, choices, health, targets, models",
    )
    add("inputs", nargs="*", metavar="JSON", help="score files, or cost files for models")
    add(
        "--results",
        metavar="DIR",
        help="the experiment's results folder, for names as shown; of agreement, choices, health and "
        "targets all else comes from there",
    )
    add(
        "--published",
        type=kinds.file,
        metavar="CSV",
        help="published scores, for a column of their own",
    )
    add(
        "--out",
        type=kinds.output(kinds.TABLE),
        metavar="CSV",
        required=True,
        help="the .csv; .md and .tex go beside it",
    )


@verb(_table)
def table(options: argparse.Namespace) -> None:
    out = Path(options.out)
    results = results_of_files(options.kind, options.inputs, options.results, options.published)
    print(f"\n{make_table(options.kind, results, out)}\n{out}", flush=True)


def _figure(add: Add) -> None:
    add("results", metavar="DIR", help="the experiment's results folder")
    add("name", help="the figure's name: samples-<data set>, painting-<data set>-<model>, ...")


@verb(_figure)
def figure(options: argparse.Namespace) -> None:
    make_figure(Path(options.results), options.name)


def _report(add: Add) -> None:
    add("results", metavar="DIR", help="the experiment's results folder")
    add("--as-is", action="store_true", help="make no table or figure, take those that are there")
    add(
        "--out",
        type=kinds.output(kinds.PAGE),
        metavar="HTML",
        help="default: report.html in that folder",
    )


@verb(_report)
def report(options: argparse.Namespace) -> None:
    results = Path(options.results)
    out = Path(options.out or results / artifacts.REPORT)
    make_report(results, out, options.as_is)
    log.info("%s: %.1f MB; open it in a browser", out, out.stat().st_size / 1e6)


def _status(add: Add) -> None:
    add("results", metavar="RESULTS", nargs="?", default="results", help="default: results")
    add("--follow", action="store_true", help="again and again, until all runs are trained")
    add("--every", type=pause, default=5, metavar="SECONDS", help="with --follow (5)")
    add("--json", action="store_true", help="as JSON; with --follow, one object a line")
    add(
        "--html",
        type=kinds.output(kinds.PAGE),
        metavar="FILE",
        help="as a page, which with --follow reloads itself",
    )


@verb(_status)
def status(options: argparse.Namespace) -> None:
    if options.json and options.html:
        raise UserError("--json and --html are two ways to show the same; choose one")
    page = Path(options.html) if options.html else None
    show(Path(options.results), options.json, page, options.every if options.follow else None)


def _bundle(add: Add) -> None:
    add("results", metavar="DIR", help="the experiment's results folder")
    add("--weights", action="store_true", help="the trained networks as well")
    add(
        "--out",
        type=kinds.output(kinds.BUNDLE),
        metavar="FILE",
        help="default: bundle.tar.gz in that folder",
    )


@verb(_bundle)
def bundle(options: argparse.Namespace) -> None:
    out = Path(options.out or Path(options.results) / artifacts.BUNDLE)
    count = bundles.pack(Path(options.results), out, options.weights)
    log.info("%s: %d files, %.1f MB", out, count, out.stat().st_size / 1e6)


def _unpack(add: Add) -> None:
    add(
        "bundle",
        type=kinds.file,
        metavar="FILE",
        help="from `snakemake results/bundle.tar.gz` or `fpa bundle`",
    )
    add("--into", type=kinds.folder, metavar="DIR", help="default: results/<experiment>")


@verb(_unpack)
def unpack(options: argparse.Namespace) -> None:
    folder = bundles.unpack(Path(options.bundle), Path(options.into) if options.into else None)
    log.info(
        "%s is restored; `python -m fpa report %s` makes its tables, figures and page",
        *[folder] * 2,
    )


def _publish(add: Add) -> None:
    add("results", metavar="DIR", help="the results folder of a finished experiment")
    add("--out", type=kinds.folder, metavar="DIR", required=True, help="a new folder")
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
    # Only here: what exports models needs torch.
    from fpa.reporting.publish import publish

    out = Path(options.out)
    files = publish(Path(options.results), out, options.author, options.licence)
    size = sum((out / name).stat().st_size for name in files) / 1e6
    log.info("%s: %d files, %.1f MB; `python -m fpa checklist %s`", out, len(files), size, out)


def _checklist(add: Add) -> None:
    add("folder", metavar="DIR", help="from python -m fpa publish")


@verb(_checklist)
def checklist(options: argparse.Namespace) -> None:
    found = publication.missing(Path(options.folder))
    if found:
        raise UserError("\n".join([f"{options.folder}: open points: {len(found)}", *found]))
    log.info("%s: nothing is missing", options.folder)


def _verify(add: Add) -> None:
    add("folder", metavar="DIR", help="from python -m fpa publish")
    add(
        "--rescore",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="also sample from this share of the models, drawn at random, and score them again",
    )
    add("--data", metavar="DIR", default="data", help="the folder with the prepared images (data)")
    add_seed(add, "seed of the draw")
    add_device(add)
    add_trust(add)


@verb(_verify)
def verify(options: argparse.Namespace) -> None:
    folder, rescore = Path(options.folder), options.rescore
    device = devices.choose(options.device, options.threads) if rescore else None
    found = publication.verify(folder, rescore, Path(options.data), options.seed, device)
    if found:
        raise UserError("\n".join([f"{options.folder} does not hold:", *found]))
    log.info("%s: everything is as published", options.folder)
