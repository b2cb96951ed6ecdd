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


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table of text as Markdown under its caption; numbers to the right."""
    align = ("left", *["right"] * table.shape[1])
    return f"{caption}\n\n{table.to_markdown(colalign=align)}\n"


LATEX = {
    "_": r"\_",
    "é": r"\'e",
    "%": r"\%",
    " x 1000": r" $\times$ 1000",
    "±": r"$\pm$",
    "—": "---",
}


def to_latex(table: pd.DataFrame, caption: str) -> str:
    """A table of text as LaTeX (needs the package booktabs)."""

    def escape(text: Any) -> str:
        text = str(text)
        for plain, written in LATEX.items():
            text = text.replace(plain, written)
        return text

    escaped = table.map(escape)
    escaped.columns = [escape(c) for c in table.columns]
    escaped.index = pd.Index([escape(i) for i in table.index], name=table.index.name)
    return (
        escaped.rename_axis(None)
        .rename_axis(table.index.name or "Model", axis="columns")
        .style.to_latex(
            hrules=True,
            position_float="centering",
            environment="table",
            caption=escape(caption),
            column_format=f"l{'r' * table.shape[1]}",
        )
    )


def models_frame(costs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per data set and model: size, multiply-adds for one image, images per second."""
    places = [c["hardware"] for c in costs]
    return (
        pd.DataFrame(costs)
        .assign(
            device=[place.get("gpu", place["cpu"]) for place in places],
            threads=[place["threads"] for place in places],
        )
        .drop(columns=["hardware", "versions"])
    )


def models_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The same as text, three figures each: one row per model (and data set, if several)."""

    def short(value: float) -> str:
        # Three figures, but never a power of ten.
        return "—" if pd.isna(value) else f"{float(f'{value:.3g}'):,.10g}"

    def millions(value: float) -> str:
        return short(value / 1e6)

    names = [labels.get(m, m) for m in frame["model"]]
    if frame["dataset"].nunique() > 1:
        names = [f"{n}, {d}" for n, d in zip(names, frame["dataset"], strict=True)]
    return pd.DataFrame(
        {
            "G parameters (M)": frame["generator_parameters"].map(millions),
            "D parameters (M)": frame["discriminator_parameters"].map(millions),
            "G multiply-adds (M)": frame["generator_multiply_adds"].map(millions),
            "D multiply-adds (M)": frame["discriminator_multiply_adds"].map(millions),
            "training images/s": frame["training_images_per_second"].map(short),
            "sampling images/s": frame["sampling_images_per_second"].map(short),
            "budget (kimg)": frame["kimg"].map(short),
        }
    ).set_index(pd.Index(names, name="Model"))


def models_caption(frame: pd.DataFrame, experiment: str) -> str:
    """What the numbers are and where they were measured."""
    places = " and ".join(
        f"{device}, {threads} CPU thread{'s' if threads > 1 else ''}"
        for device, threads in frame[["device", "threads"]]
        .drop_duplicates()
        .itertuples(index=False)
    )
    sizes = ", ".join(map(str, frame["batch_size"].unique()))
    return (
        "Size and cost of the models: parameters (frozen ones included), multiply-adds of "
        "convolutions and matrix products for one image, and images per second of training steps "
        f"(without data, checkpoints and quick scores) and of sampling, batch size {sizes}, "
        f"measured on {places}; experiment {experiment}."
    )
