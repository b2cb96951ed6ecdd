"""A table of text as Markdown and as LaTeX."""

import re
from typing import Any

import pandas as pd


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table of text as Markdown under its caption; numbers to the right."""
    align = ("left", *["right"] * table.shape[1])
    return f"{caption}\n\n{table.to_markdown(colalign=align, disable_numparse=True)}\n"


LATEX = {
    "_": r"\_",
    "é": r"\'e",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "—": "---",
}


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """A table of text as LaTeX (needs the package booktabs)."""

    def escape(text: Any) -> str:
        text = str(text)
        for plain, escaped in LATEX.items():
            text = text.replace(plain, escaped)
        return re.sub(r" x (\d)", r" $\\times$ \1", text)

    shown = table.map(escape)
    shown.columns = pd.Index([escape(name) for name in table.columns])
    shown.index = pd.Index([escape(name) for name in table.index])
    shown.columns.name = str(table.index.name or "Model")
    return shown.style.to_latex(
        hrules=True,
        position_float="centering",
        environment="table",
        caption=escape(caption),
        column_format=f"l{'r' * table.shape[1]}",
    )
