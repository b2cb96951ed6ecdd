"""The command line: every step of an experiment as a verb that also works by hand.

A user's mistake ends in one line and exit code 1, a bad command line in 2; a training that was
asked to stop has saved everything and ends with 75 (try again later), so that a scheduler can
tell it from a failure.

Only the group of the verb that is called is imported: `--help` and planning answer at once.
"""

import argparse
import gc
import io
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from itertools import pairwise
from typing import NoReturn

from fpa.cli import kinds
from fpa.cli.options import IMPORTED
from fpa.core.errors import Stopped, UserError
from fpa.core.progress import log, start_logging
from fpa.core.registry import load_inherited_plugins, trust
from fpa.runs import processes

GROUPS = {
    "experiment": {
        "plan": "List an experiment's runs, and what they cost; or write run files.",
        "clean": "List what no configuration needs, in its results and data folders; delete it with --yes.",
        "models": "Print the settings that a model takes.",
    },
    "data": {
        "download": "Fetch a data set's official archive, resuming a broken download.",
        "prepare": "Turn a data set's source into a memory-mapped array and a manifest.",
        "inspect": "Describe a prepared data set and draw a contact sheet of it.",
        "real-samples": "Copy the first images of a prepared data set, for the figures.",
    },
    "training": {
        "train": "Train one run to the end of its budget, resuming from its last checkpoint.",
        "cost": "Count a run's parameters and multiply-adds, and measure its images per second.",
    },
    "generators": {
        "export": "Save a finished run's EMA generator by itself: safetensors, configuration, model card.",
        "import-official": "Make a finished run of a checkpoint of the paper's public code.",
        "sample": "Draw images from a finished run's generator.",
        "artifact": "Save what a figure needs of a finished run's generator: paintings, statistics, ...",
        "paint": "Save painting traces: both factors of every update of a few paintings.",
        "export-web": "Save a painter's weights as the report's page runs them.",
        "statistics": "Save statistics of every step of many paintings, for the figures.",
        "interpolate": "Draw images between pairs of latents from a finished run's EMA generator.",
        "path-length": "Score a finished run by how fast its images change between latents: perceptual path length.",
    },
    "evaluation": {
        "extractor": "Find or download a feature extractor's weights and check them.",
        "features": "Compute the features of an image array (.npy, or a prepared data set's folder).",
        "radii": "Compute what real images cover in feature space, for precision and recall.",
        "reference": "Save reference statistics of real images, to score images where the real ones are not.",
        "score": "FID, KID and more: of a run's features against the real ones, or of any images.",
        "compare": "Show two runs' scores with their difference in standard errors.",
        "neighbours": "Find the training images that samples come nearest to, in feature space.",
    },
    "reporting": {
        "table": "Gather scores or costs into a table: .csv, .md and .tex, and print it.",
        "figure": "Draw one figure of an experiment from the artifacts in its results folder.",
        "report": "Make an experiment's page, with tables and figures of what there is.",
        "status": "Show what an experiment's trainings are doing: state, speed, time left, losses, scores.",
        "bundle": "Pack what an experiment's tables, figures and report are made from into one file.",
        "unpack": "Restore a bundle, every file checked against its manifest.",
        "publish": "Make a folder for an archive: bundle, page, tables, models with cards, citation, datasheet.",
        "checklist": "Say what an archive or an artifact evaluation would miss in a published folder.",
        "verify": "Make a published folder's tables and figures again and compare them.",
    },
}
"""The modules that bring verbs: each verb with its line of help. What a verb takes and does stands there."""

VERBS = {verb: group for group, verbs in GROUPS.items() for verb in verbs}
"""All verbs, in the order of the help text, and their group."""

ALIASES = {"live": "export-web"}
"""Verbs by the name that they had before."""

GARBAGE = 50_000
"""New objects after which Python looks for garbage. Imports make hundreds of thousands that stay: at its
own 700 a fifth to a quarter of their time is spent looking."""

EPILOG = """\
By hand, what the workflow does:
  python -m fpa plan config.yaml --write
  python -m fpa prepare digits --config config.yaml
  python -m fpa train results/runs/digits/fpa/seed0-*/run.json --store data/digits-16px-*
  python -m fpa sample results/runs/digits/fpa/seed0-* --count 2000 --out samples.npy
A verb's own --help explains it. Installed, `fpa` is short for `python -m fpa`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    gc.set_threshold(GARBAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Text is UTF-8 whatever the locale; what a terminal's cannot show is escaped.
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    words[:1] = [ALIASES.get(word, word) for word in words[:1]]
    code = _run(words)
    if processes.is_worker():
        processes.hard_exit(code)
    return code


def _run(words: list[str]) -> int:
    verb = words[0] if words else ""
    try:
        options = _parsed(make_parser({verb} & {*VERBS}), words)
        options.arguments = words
        start_logging(verb, options.log)
        load_inherited_plugins()
        trust(getattr(options, "trust_class", None) or ())
        options.action(options)
    except UsageError as error:
        start_logging(verb, _log_among(words))
        return _fail(verb, error.message, 2)
    except Stopped as reason:
        log.warning("stopped by %s", reason)
        return Stopped.EXIT_CODE
    except UserError as error:
        return _fail(verb, str(error), 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough; closing stderr keeps Python from complaining.
        sys.stderr.close()
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(verb, f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        return _fail(verb, "interrupted; no half-written file is left", 130)
    return 0


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """The options of a call. A list may go on behind an option: prepare birds --no-config path=birds."""
    options, more = parser.parse_known_args(words)
    name = next((name for name in ("settings", "inputs") if hasattr(options, name)), "")
    if more and (not name or any(word.startswith("-") for word in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        setattr(options, name, [*getattr(options, name), *more])
    return options


def _log_among(words: Sequence[str]) -> str | None:
    """The log that a call names whose options are wrong: the workflow looks there for what was wrong.

    None where there is none, or where it is the mistake.
    """
    named = next((file for word, file in pairwise(words) if word == "--log"), None)
    try:
        return named and kinds.log(named)
    except argparse.ArgumentTypeError:
        return None


def _fail(verb: str, message: str, code: int) -> int:
    if log.handlers:
        log.error("error: %s", "\n".join(" ".join(line.split()) for line in message.splitlines()))
    else:
        print(f"fpa {verb}: error: {message}", file=sys.stderr)
    return code


class UsageError(SystemExit):
    """A verb or an option that cannot be taken; ends a program that does not catch it."""

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help)")


def make_parser(chosen: Collection[str] = tuple(VERBS)) -> argparse.ArgumentParser:
    """The parser of all verbs; those that are not chosen take no options."""
    parser = Parser(
        prog="python -m fpa",
        description="Fast Weight Painters, reproduced and measured.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, group in VERBS.items():
        help = GROUPS[group][verb]
        sub = verbs.add_parser(verb, help=help, description=help)
        if verb in chosen:
            import_module(f"fpa.cli.{group}")
            sub.add_argument(
                "--log", type=kinds.log, metavar="FILE", help="also append messages to this file"
            )
            action, options = IMPORTED[verb]
            for option in options:
                option(sub.add_argument)
            sub.set_defaults(action=action)
    return parser
