"""From score files to tables: tidy CSV first, then Markdown and LaTeX in the paper's layout."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

KEYS = ["dataset", "resolution", "model"]
SAME = ["extractor", "protocol", "n_real", "n_fake", "kimg", "generator_parameters"]
COLUMNS = [
    *KEYS,
    *("fid", "fid_std", "kid", "kid_std", "n_seeds"),
    *SAME,
    *("experiment", "runs"),
]


def fid_frame(scores: Sequence[Mapping[str, Any]], experiment: str) -> pd.DataFrame:
    """One row per data set and model: mean and standard deviation over seeds.

    The standard deviation (n - 1) is missing for a single seed. KID is not multiplied by anything.
    Rows keep the order of the scores; `runs` lists the digests of the runs behind a row.
    """
    frame = pd.DataFrame(scores)
    rows = []
    for _, group in frame.groupby(KEYS, sort=False):
        row = {k: group[k].iloc[0] for k in [*KEYS, *SAME]}
        row |= {
            "fid": group["fid"].mean(),
            "fid_std": group["fid"].std(),
            "kid": group["kid"].mean(),
            "kid_std": group["kid"].std(),
            "n_seeds": len(group),
            "experiment": experiment,
            "runs": " ".join(d[:10] for d in group["run"]),
        }
        rows.append(row)
    return pd.DataFrame(rows)[COLUMNS]


def caption(frame: pd.DataFrame) -> str:
    """What the numbers are, in one paragraph; only Inception features give an 'FID'."""
    extractors = ", ".join(frame["extractor"].unique())
    if set(frame["extractor"]) == {"inception_v3"}:
        measure = "FID (Inception-v3 features)"
    else:
        measure = f"Fréchet distance in {extractors} features (not an Inception FID)"
    sizes = ", ".join(f"{n:,}" for n in frame["n_fake"].unique())
    spread = "mean ± standard deviation over seeds; " if frame["n_seeds"].max() > 1 else ""
    protocol = ", ".join(frame["protocol"].unique())
    return (
        f"{measure}, lower is better; in brackets KID x 1000. {spread}"
        f"{sizes} samples against all real images, protocol {protocol}, "
        f"experiment {frame['experiment'].iloc[0]}."
    )


def paper_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models down, data sets across; cells 'FID (KID x 1000)' as text."""

    def number(mean: float, std: float, scale: float = 1) -> str:
        text = f"{scale * mean:.2f}"
        return text if pd.isna(std) else f"{text} ± {scale * std:.2f}"

    cells = frame.assign(
        Model=frame["model"].map(lambda m: labels.get(m, m)),
        column=frame["dataset"] + " " + frame["resolution"].astype(str) + " px",
        cell=[
            f"{number(r.fid, r.fid_std)} ({number(r.kid, r.kid_std, 1000)})"
            for r in frame.itertuples()
        ],
    )
    table = cells.pivot(index="Model", columns="column", values="cell")
    return table.loc[cells["Model"].unique(), cells["column"].unique()].fillna("—")


def to_markdown(frame: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """The paper's layout as a Markdown table under its caption."""
    table = paper_layout(frame, labels)
    align = ("left", *["right"] * table.shape[1])
    return f"{caption(frame)}\n\n{table.to_markdown(colalign=align)}\n"


def to_latex(frame: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """The paper's layout as a LaTeX table (booktabs)."""
    table = paper_layout(frame, labels)

    def escape(text: str) -> str:
        text = text.replace("_", r"\_").replace("é", r"\'e").replace("%", r"\%")
        return text.replace(" x 1000", r" $\times$ 1000").replace("±", r"$\pm$").replace("—", "---")

    body = [
        " & ".join([escape(str(name)), *(escape(cell) for cell in row)]) + r" \\"
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    head = " & ".join(["Model", *(escape(c) for c in table.columns)]) + r" \\"
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption(frame))}}}",
        rf"\begin{{tabular}}{{l{'r' * table.shape[1]}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
