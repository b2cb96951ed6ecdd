"""Pages that are written while the site is built: mkdocs calls these functions (mkdocs.yml, hooks).

The command line comes from its parser, the configuration from its pydantic model, models' settings from
their classes. CONTRIBUTING.md and CHANGELOG.md, which lie outside docs/, become pages too.
"""

import argparse
import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    *("cli", "workflow", "reporting", "experiment", "training", "evaluation"),
    *("runs", "models", "data", "core"),
)
"""From the top of fpa/ to its bottom."""
PUBLISHED = ROOT / "results" / "published"
PLACE = "<!-- packages -->"
"""Where a page has the table of packages."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that no file holds."""
    from mkdocs.structure.files import File

    # Before the functions below import fpa: mkdocs runs without the repository's root in its path.
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    pages = {
        "reference/command-line.md": command_line(),
        "reference/configuration.md": configuration(),
        "reference/model-settings.md": model_settings(),
        "contributing.md": from_root("CONTRIBUTING.md"),
        "changelog.md": from_root("CHANGELOG.md"),
        "how-a-network-paints/painters.html": painters("digits"),
        "results/cats.html": painters("cats"),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to the documents outside docs/, and the table of packages, which is counted now."""
    if PLACE in markdown:
        markdown = markdown.replace(PLACE, packages())
    return re.sub(r"\]\((?:\.\./)+CONTRIBUTING\.md", "](contributing.md", markdown)


def painters(kept: str) -> str:
    """The painters of kept results on a page of their own, which another page embeds."""
    import tempfile

    from fpa.experiment.experiment import Experiment
    from fpa.reporting.bundle import unpack
    from fpa.reporting.figures import figures
    from fpa.reporting.report import render_painters

    with tempfile.TemporaryDirectory() as name:
        results = unpack(PUBLISHED / kept / "bundle.tar.gz", Path(name) / "results")
        experiment = Experiment.read(results)
        return render_painters(experiment, figures(experiment), results)


def from_root(name: str) -> str:
    """A document of the repository's root as a page: links to other files become plain text."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(
        r"\[([^\]]+)\]\((?!https?:|#|[\w/-]+\.md)([^)]+)\)", lambda link: f"`{link[2]}`", text
    )


def command_line() -> str:
    """Every verb with its arguments."""
    from fpa.cli import make_parser

    parser = make_parser()
    (verbs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [
        "# Command line",
        "`fpa VERB` and `python -m fpa VERB` are the same. Exit codes: 0 for success, 1 for an error "
        "that is explained in one line, 2 for a wrong command line, and 75 for a training that was "
        "stopped and can be continued.",
        f"```text\n{parser.epilog}\n```",
    ]
    for name, verb in verbs.choices.items():
        usage = re.sub(r"^usage: ", "", verb.format_usage()).rstrip()
        parts += [f"## {name}", _text(verb.description), f"```text\n{usage}\n```"]
        rows = [
            f"| {_argument(action)} | {_cell(_help(verb, action))} |"
            for action in verb._actions
            if not isinstance(action, argparse._HelpAction)
        ]
        parts.append("\n".join(["| argument | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _argument(action: argparse.Action) -> str:
    """An argument as it is typed."""
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    takes_value = action.option_strings and action.nargs != 0
    if not takes_value:
        return f"`{names}`"
    value = action.metavar or action.dest.upper()
    if action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    return f"`{names} {value if isinstance(value, str) else ' '.join(value)}`".replace("|", r"\|")


def _help(verb: argparse.ArgumentParser, action: argparse.Action) -> str:
    """What an argument means, and its default where the help does not name it."""
    text = verb._get_formatter()._expand_help(action) if action.help else ""
    if action.choices and not action.option_strings:
        text += f" ({', '.join(map(str, action.choices))})"
    default = action.default
    if default in (None, False, [], argparse.SUPPRESS) or "(" in text or "default" in text:
        return text
    shown = " ".join(map(str, default)) if isinstance(default, list) else default
    return f"{text} (default: {shown})"


def configuration() -> str:
    """Every key with its type, default and description."""
    from fpa.experiment.config import Config

    parts = [
        "# Configuration",
        _text(Config.__doc__),
        "A configuration is a YAML file. Keys in angle brackets are names of your choice. Keys without "
        "a default have to be given.",
        "## Top level",
        _table(row for key, row in _keys(Config, "") if not _section(Config.model_fields[key])),
    ]
    for key, field in Config.model_fields.items():
        if section := _section(field):
            prefix = "<name>." if _is_named(field) else ""
            about = field.description or section.__doc__
            rows = (row for _, row in _keys(section, prefix))
            parts += [f"## {key}", _text(about), _table(rows)]
    return "\n\n".join(parts) + "\n"


def _section(field: Any) -> Any:
    """The model of a key that holds further keys, or entries by name that do; None for a value."""
    kind = get_args(field.annotation)[-1] if _is_named(field) else field.annotation
    return kind if hasattr(kind, "model_fields") else None


def _is_named(field: Any) -> bool:
    """Whether a key holds entries under names of the user's choice."""
    return get_origin(field.annotation) is dict


def _keys(section: Any, prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Rows of a section's keys, those of its named entries included."""
    for name, field in section.model_fields.items():
        key = field.alias or name
        below = _section(field)
        value = field.get_default()
        if below:  # what is left out has the defaults below
            value = {name: {} for name in value} if isinstance(value, dict) else {}
        default = "required" if field.is_required() else f"`{json.dumps(value)}`"
        kind = "object" if below else _type(TypeAdapter(field.annotation).json_schema())
        yield key, (f"`{prefix}{key}`", kind, default, field.description or "")
        if below and _is_named(field):
            yield from ((key, row) for _, row in _keys(below, f"{prefix}{key}.<name>."))


def _type(schema: Mapping[str, Any]) -> str:
    """What values a key takes."""
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kinds = schema.get("anyOf") or schema.get("oneOf")
    return " or ".join(map(_type, kinds)) if kinds else schema.get("type", "any")


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(map(_cell, row))} |" for row in rows])


def model_settings() -> str:
    """The settings of the models that come with this project."""
    from fpa.cli.experiment import SHIPPED, list_settings

    parts = ["# Model settings", "What `python -m fpa models` prints. Defaults are the paper's."]
    for name in SHIPPED:
        _, *lines = list_settings(name)
        listing = "\n".join(line.removeprefix("  ") for line in lines)
        parts += [f"## {name}", f"```yaml\n{listing}\n```"]
    return "\n\n".join(parts) + "\n"


def packages() -> str:
    """The packages of fpa/ with their lines and imports, as they are now."""
    lines = ["| package | modules | lines | imports |", "| --- | ---: | ---: | --- |"]
    for package in PACKAGES:
        modules = list((ROOT / "fpa" / package).rglob("*.py"))
        count = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules)
        used = imports(package)
        used = ", ".join(name for name in PACKAGES if name in used)
        lines.append(f"| `fpa/{package}` | {len(modules)} | {count:,} | {used} |")
    return "\n".join(lines)


def imports(package: str) -> set[str]:
    """The other packages of fpa/ that a package (or module) imports from."""
    place = ROOT / "fpa" / package
    modules = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    found: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            found |= {name.split(".")[1] for name in names if name.startswith("fpa.")}
    return found & set(PACKAGES) - {package}


def _text(text: str | None) -> str:
    """Text that Markdown shows as it stands."""
    return inspect.cleandoc(text or "").replace("<", "&lt;").replace("*", r"\*")


def _cell(text: str) -> str:
    """The same in a table."""
    text = " ".join(text.split()).replace("|", r"\|")
    # Code keeps its brackets.
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _text(part) for part in parts)
