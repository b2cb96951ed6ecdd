"""The command line: every step of an experiment as a verb that also works by hand.

A user's mistake ends in one line and exit code 1, a bad command line in 2; a training that was
asked to stop has saved everything and ends with 75 (try again later), so that a scheduler can
tell it from a failure.
"""

import argparse
import gc
import sys
from collections.abc import Sequence

from fpa.cli import data, evaluation, experiment, images, publication, reporting, sampling, training
from fpa.cli.verbs import VERBS
from fpa.core.errors import Stopped, UserError
from fpa.core.progress import log, start_logging
from fpa.core.registry import load_inherited_plugins
from fpa.core.trust import trust
from fpa.runs import launch

GROUPS = (experiment, data, training, sampling, evaluation, images, reporting, publication)
"""Modules that bring verbs."""

GARBAGE = 50_000
"""New objects after which Python looks for garbage. Imports make hundreds of thousands that stay: at its
own 700 a fifth to a quarter of their time is spent looking."""

EPILOG = """\
By hand, what the workflow does:
  python -m fpa plan config.yaml --write
  python -m fpa prepare digits --config config.yaml
  python -m fpa train RUN/run.json --store DATA/digits-...      (RUN as `plan` prints it)
  python -m fpa sample RUN --count 2000 --out samples.npy
`python -m fpa VERB --help` explains each verb. Installed, `fpa` is short for `python -m fpa`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code."""
    gc.set_threshold(GARBAGE)
    options = make_parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    code = _run(options)
    if launch.is_worker():
        launch.leave(code)
    return code


def _run(options: argparse.Namespace) -> int:
    try:
        start_logging(options.verb, options.log)
        load_inherited_plugins()
        trust(getattr(options, "trust_class", None) or ())
        VERBS[options.verb].action(options)
    except Stopped as reason:
        log.warning("stopped by %s", reason)
        return Stopped.EXIT_CODE
    except UserError as error:
        return _fail(options.verb, str(error), 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough; closing stderr keeps Python from complaining.
        sys.stderr.close()
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(options.verb, f"{error.strerror or error}{where}", 1)
    except KeyboardInterrupt:
        return _fail(options.verb, "interrupted; no half-written file is left", 130)
    return 0


def _fail(verb: str, message: str, code: int) -> int:
    if log.handlers:
        log.error("error: %s", "\n".join(" ".join(line.split()) for line in message.splitlines()))
    else:
        print(f"fpa {verb}: error: {message}", file=sys.stderr)
    return code


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="python -m fpa",
        description="Fast Weight Painters, reproduced and measured.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS.values():
        sub = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
        sub.add_argument("--log", metavar="FILE", help="also append messages to this file")
        verb.arguments(sub.add_argument)
    return parser
