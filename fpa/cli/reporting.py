"""Verbs that make tables, figures, the report and the bundle of finished work."""

import argparse
from pathlib import Path

from fpa.cli.verbs import Add, verb
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.progress import log


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
    add("--published", metavar="CSV", help="published scores, for a column of their own")
    add("--out", metavar="CSV", required=True, help="the .csv; .md and .tex go beside it")


@verb(_table)
def table(options: argparse.Namespace) -> None:
    """Gather scores or costs into a table: .csv, .md and .tex, and print it."""
    from fpa.core.files import read_json
    from fpa.reporting.make import make_table, read_description
    from fpa.reporting.state import run_entries
    from fpa.reporting.tables import OF_RUNS

    about = read_description(Path(options.results)) if options.results else None
    if options.kind in OF_RUNS:
        if about is None or options.inputs:
            raise UserError(
                f"the table {options.kind} takes no files; name the experiment's folder by --results"
            )
        entries = run_entries(about, Path(options.results))
    else:
        entries = [read_json(path) for path in options.inputs]
    if not entries:
        raise UserError(f"nothing to make the table {options.kind} of; name files, in row order")
    out = Path(options.out)
    markdown = make_table(options.kind, entries, about, options.published, out)
    print(f"\n{markdown}\n{out}", flush=True)


def _figure(add: Add) -> None:
    add("results", metavar="DIR", help="the experiment's results folder")
    add("name", help="the figure's name: samples-<data set>, painting-<data set>-<model>, ...")


@verb(_figure)
def figure(options: argparse.Namespace) -> None:
    """Draw one figure of an experiment from the artifacts in its results folder."""
    from fpa.reporting.make import make_figure

    make_figure(Path(options.results), options.name)


def _report(add: Add) -> None:
    add("results", metavar="DIR", help="the experiment's results folder")
    add("--as-is", action="store_true", help="make no table or figure, take those that are there")
    add("--out", metavar="HTML", help="default: report.html in that folder")


@verb(_report)
def report(options: argparse.Namespace) -> None:
    """Make an experiment's page, with tables and figures of what there is."""
    from fpa.reporting.make import make_report

    results = Path(options.results)
    out = Path(options.out or results / artifacts.REPORT)
    make_report(results, out, options.as_is)
    log.info("%s: %.1f MB; open it in a browser", out, out.stat().st_size / 1e6)


def _status(add: Add) -> None:
    add("results", metavar="RESULTS", nargs="?", default="results", help="default: results")
    add("--follow", action="store_true", help="again and again, until all runs are trained")
    add("--every", type=float, default=5, metavar="SECONDS", help="with --follow (5)")
    add("--json", action="store_true", help="as JSON; with --follow, one object a line")
    add("--html", metavar="FILE", help="as a page, which with --follow reloads itself")


@verb(_status)
def status(options: argparse.Namespace) -> None:
    """Show what an experiment's trainings are doing: state, speed, time left, losses, scores."""
    from fpa.reporting.status.following import show

    if options.json and options.html:
        raise UserError("--json and --html are two ways to show the same; choose one")
    if not options.every > 0:
        raise UserError(f"--every: {options.every:g} s is no time to wait; give more than 0")
    page = Path(options.html) if options.html else None
    show(Path(options.results), options.json, page, options.every if options.follow else None)


def _bundle(add: Add) -> None:
    add("results", metavar="DIR", help="the experiment's results folder")
    add("--weights", action="store_true", help="the trained networks as well")
    add("--out", metavar="FILE", help="default: bundle.tar.gz in that folder")


@verb(_bundle)
def bundle(options: argparse.Namespace) -> None:
    """Pack what an experiment's tables, figures and report are made from into one file."""
    from fpa.reporting.bundle import pack

    out = Path(options.out or Path(options.results) / artifacts.BUNDLE)
    count = pack(Path(options.results), out, options.weights)
    log.info("%s: %d files, %.1f MB", out, count, out.stat().st_size / 1e6)


def _unpack(add: Add) -> None:
    add("bundle", metavar="FILE", help="from `snakemake results/bundle.tar.gz` or `fpa bundle`")
    add("--into", metavar="DIR", help="default: results/<experiment>")


@verb(_unpack)
def unpack(options: argparse.Namespace) -> None:
    """Restore a bundle, every file checked against its manifest."""
    from fpa.reporting.unpacking import unpack

    folder = unpack(Path(options.bundle), Path(options.into) if options.into else None)
    log.info(
        "%s is restored; `python -m fpa report %s` makes its tables, figures and page",
        *[folder] * 2,
    )
