"""A table of text as Markdown, as LaTeX, and as rows for a page's template."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fpa.core.lazy import pd

MARKDOWN = re.compile(r"[\\`*\[|~$]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown would take for markup, in a cell too; an underscore inside a word is none."""


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table of text as Markdown under its caption; numbers to the right."""
    align = ("left", *["right"] * table.shape[1])
    shown = _escaped(table, escape_markdown)
    text = shown.to_markdown(colalign=align, disable_numparse=True)
    return f"{escape_markdown(caption)}\n\n{text}\n"


def escape_markdown(text: Any) -> str:
    """A value as text in one line that Markdown shows as it is."""
    # Not every reader lets backslashes escape these two, which open entities and tags.
    plain = re.sub(r"&(?=[#\w])", "&amp;", one_line(text))
    plain = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", plain)
    return MARKDOWN.sub(r"\\\g<0>", plain)


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "`": r"\textasciigrave{}",
        "_": r"\_",
        "é": r"\'e",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "±": r"$\pm$",
        "∞": r"$\infty$",
        "—": "---",
    }
)


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """A table of text as LaTeX (needs the package booktabs)."""

    def escape(text: Any) -> str:
        text = one_line(text).translate(LATEX)
        # Behind a line's end, a bracket would be its argument and an asterisk its variant.
        text = re.sub(r"^[\[*]", r"{\g<0>}", text)
        return re.sub(r" x (\d)", r" $\\times$ \1", text)

    shown = _escaped(table, escape)
    shown.columns.name = str(table.index.name or "Model")
    return shown.style.to_latex(
        hrules=True,
        position_float="centering",
        environment="table",
        caption=escape(caption),
        column_format=f"l{'r' * table.shape[1]}",
    )


class Rows(NamedTuple):
    """A table of text line by line, as a template takes it; the template escapes what HTML needs."""

    head: list[str]
    rows: list[list[str]]


def to_rows(table: pd.DataFrame) -> Rows:
    """A table of text, its index first."""
    head = [str(table.index.name or ""), *table.columns]
    return Rows(
        [one_line(name) for name in head],
        [[one_line(cell) for cell in row] for row in table.itertuples()],
    )


def one_line(text: Any) -> str:
    """A value as text in one line."""
    return " ".join(str(text).split())


def _escaped(table: pd.DataFrame, escape: Callable[[Any], str]) -> pd.DataFrame:
    """The table with every cell and heading escaped."""
    shown = table.map(escape)
    shown.columns = pd.Index([escape(name) for name in table.columns])
    shown.index = pd.Index([escape(name) for name in table.index], name=table.index.name)
    return shown
