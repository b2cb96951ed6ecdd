"""A table of text as Markdown and as LaTeX."""

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
    " x 1000": r" $\times$ 1000",
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
        return text

    shown = table.map(escape)
    shown.columns = pd.Index([escape(name) for name in table.columns])
    shown.index = pd.Index([escape(name) for name in table.index], name=table.index.name)
    return (
        shown.rename_axis(None)
        .rename_axis(table.index.name or "Model", axis="columns")
        .style.to_latex(
            hrules=True,
            position_float="centering",
            environment="table",
            caption=escape(caption),
            column_format=f"l{'r' * table.shape[1]}",
        )
    )
