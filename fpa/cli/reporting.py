"""Verbs that make tables, figures, the report and the bundle of finished work, and hand it on."""

import argparse
from pathlib import Path

from fpa.cli import kinds
from fpa.cli.options import (
    DEVICE,
    RESULTS,
    TRUST,
    folder,
    option,
    pause,
    refuse,
    seed,
    share,
    verb,
    writes,
)
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.progress import log
from fpa.reporting import bundle as bundles
from fpa.reporting import publication
from fpa.reporting.make import make_figure, make_report, make_table, results_of_files
from fpa.reporting.status import show
from fpa.runs import devices


@verb(
    option(
        "kind", "claims, fid, kid, scores, comparisons, agreement, choices, health, targets, models"
    ),
    option("inputs", "score files, or cost files for models", nargs="*", metavar="JSON"),
    folder(
        "--results",
        "the experiment's results folder, for names as shown; of agreement, choices, health and "
        "targets all else comes from there",
    ),
    option(
        "--published", "published scores, for a column of their own", type=kinds.file, metavar="CSV"
    ),
    writes(kinds.TABLE, "the .csv; .md and .tex go beside it", metavar="CSV"),
)
def table(options: argparse.Namespace) -> None:
    out = Path(options.out)
    results = results_of_files(options.kind, options.inputs, options.results, options.published)
    print(f"\n{make_table(options.kind, results, out)}\n{out}", flush=True)


@verb(
    RESULTS,
    option("name", "the figure's name: samples-<data set>, painting-<data set>-<model>, ..."),
)
def figure(options: argparse.Namespace) -> None:
    make_figure(Path(options.results), options.name)


@verb(
    RESULTS,
    option("--as-is", "make no table or figure, take those that are there", action="store_true"),
    writes(kinds.PAGE, "default: report.html in that folder", required=False, metavar="HTML"),
)
def report(options: argparse.Namespace) -> None:
    results = Path(options.results)
    out = Path(options.out or results / artifacts.REPORT)
    make_report(results, out, options.as_is)
    log.info("%s: %.1f MB; open it in a browser", out, out.stat().st_size / 1e6)


@verb(
    option("results", "default: results", metavar="RESULTS", nargs="?", default="results"),
    option("--follow", "again and again, until all runs are trained", action="store_true"),
    option("--every", "with --follow (5)", type=pause, metavar="SECONDS"),
    option("--json", "as JSON; with --follow, one object a line", action="store_true"),
    option(
        "--html",
        "as a page, which with --follow reloads itself",
        type=kinds.output(kinds.PAGE),
        metavar="FILE",
    ),
)
def status(options: argparse.Namespace) -> None:
    if options.json and options.html:
        raise UserError("--json and --html are two ways to show the same; choose one")
    if not options.follow:
        refuse(options, "is for --follow", "--every")
    page = Path(options.html) if options.html else None
    every = options.every or 5
    show(Path(options.results), options.json, page, every if options.follow else None)


@verb(
    RESULTS,
    option("--weights", "the trained networks as well", action="store_true"),
    writes(kinds.BUNDLE, "default: bundle.tar.gz in that folder", required=False),
)
def bundle(options: argparse.Namespace) -> None:
    out = Path(options.out or Path(options.results) / artifacts.BUNDLE)
    count = bundles.pack(Path(options.results), out, options.weights)
    log.info("%s: %d files, %.1f MB", out, count, out.stat().st_size / 1e6)


@verb(
    option(
        "bundle",
        "from the verb bundle, or the workflow's results/bundle.tar.gz",
        type=kinds.file,
        metavar="FILE",
    ),
    folder("--into", "default: results/<experiment>", type=kinds.folder),
)
def unpack(options: argparse.Namespace) -> None:
    folder = bundles.unpack(Path(options.bundle), Path(options.into) if options.into else None)
    log.info(
        "%s is restored; `python -m fpa report %s` makes its tables, figures and page",
        *[folder] * 2,
    )


@verb(
    folder("results", "the results folder of a finished experiment"),
    folder("--out", "a new folder", type=kinds.folder, required=True),
    option(
        "--author",
        "'Family, Given', or a group's name; repeat it for several",
        action="append",
        default=[],
        metavar="NAME",
    ),
    option("--licence", "of the results and models, as in CC-BY-4.0", metavar="SPDX"),
    TRUST,
)
def publish(options: argparse.Namespace) -> None:
    # Only here: what exports models needs torch.
    from fpa.reporting.publish import publish

    out = Path(options.out)
    files = publish(Path(options.results), out, options.author, options.licence)
    size = sum((out / name).stat().st_size for name in files) / 1e6
    log.info("%s: %d files, %.1f MB; `python -m fpa checklist %s`", out, len(files), size, out)


@verb(folder("folder", "from the verb publish"))
def checklist(options: argparse.Namespace) -> None:
    found = publication.missing(Path(options.folder))
    if found:
        raise UserError("\n".join([f"{options.folder}: open points: {len(found)}", *found]))
    log.info("%s: nothing is missing", options.folder)


@verb(
    folder("folder", "from the verb publish"),
    option(
        "--rescore",
        "also sample from this share of the models, drawn at random, and score them again",
        type=share,
        default=0.0,
        metavar="SHARE",
    ),
    folder("--data", "with --rescore, the folder with the prepared images (data)"),
    seed("seed of the draw"),
    *DEVICE,
    TRUST,
)
def verify(options: argparse.Namespace) -> None:
    folder, rescore, data = Path(options.folder), options.rescore, Path(options.data or "data")
    if not rescore:
        refuse(options, "is for --rescore", "--data", "--trust-class")
    device = devices.choose(options.device, options.threads) if rescore else None
    found = publication.verify(folder, rescore, data, options.seed, device)
    if found:
        raise UserError("\n".join([f"{options.folder} does not hold:", *found]))
    log.info("%s: everything is as published", options.folder)
