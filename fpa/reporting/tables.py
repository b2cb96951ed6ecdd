"""From score and cost files to tables: tidy CSV first, then Markdown and LaTeX in the paper's layout."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fpa.common.errors import UserError

KEYS = ["dataset", "resolution", "protocol", "model"]
SAME = [
    *("extractor", "resize", "format", "n_real", "n_fake", "checkpoint", "kimg"),
    "generator_parameters",
]
PUBLISHED = Path(__file__).parent / "published.csv"
"""Published scores, for a column of the tables."""
PUBLISHED_COLUMNS = ["dataset", "model", "metric", "value", "protocol", "source"]
SCALES = {"kid": 1000.0}
"""What a metric is multiplied by where people read it; CSV files hold the plain value."""
FIRST = ["fid", "fid_infinity", "kid", "precision", "recall", "inception_score"]
"""Metrics that people read, in their order; the others are for whoever checks."""

WORDS = {"nan": "NaN"}
"""What a status that is not `ok` is called where people read it, if not by its own name."""

Built = tuple[pd.DataFrame, pd.DataFrame, str]
"""What goes into the CSV, the same as text, and what to say of it."""


def build(
    kind: str,
    entries: Sequence[Mapping[str, Any]],
    labels: Mapping[str, str],
    experiment: str,
    published: pd.DataFrame | None = None,
) -> Built:
    """A table of `kind` fid, kid, scores (of score files) or models (of cost files)."""
    if kind == "models":
        frame = models_frame(entries)
        return frame, models_layout(frame, labels), models_caption(frame, experiment)
    tidy = tidy_scores(entries, experiment)
    if kind == "scores":
        return tidy, scores_layout(tidy, labels), scores_caption(tidy)
    frame = metric_frame(entries, kind, experiment, published)
    return frame, paper_layout(frame, kind, labels), metric_caption(frame, kind)


def missing_score(
    run: Mapping[str, Any], protocol: Mapping[str, Any], checkpoint: str, status: str
) -> dict[str, Any]:
    """What stands in for the score of a run (of the experiment's description) that has none.

    status: `missing`, or `failed` where its training ended in an error.
    """
    return {
        **{key: run[key] for key in ("dataset", "resolution", "model", "seed")},
        **{key: protocol[key] for key in ("extractor", "resize", "format", "n_fake", "n_real")},
        "protocol": protocol["name"],
        "checkpoint": checkpoint,
        "status": status,
        "metrics": {},
        "run": run["digest"],
        "kimg": None,
        "checkpoint_kimg": None,
        "generator_parameters": None,
    }


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts stay whole numbers where one of them is unknown."""
    counts = [name for name in ("n_real", "n_fake", "generator_parameters") if name in frame]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def tidy_scores(scores: Sequence[Mapping[str, Any]], experiment: str) -> pd.DataFrame:
    """Everything: one row per run, protocol and metric, with the standard error where it is known.

    A run whose samples gave no finite features has one row without a metric, status `nan`; so has
    one without a score, status `missing` or `failed`.
    """
    about = [*("dataset", "resolution", "model", "seed", "status", "protocol", "extractor")]
    beside = [*("n_real", "n_fake", "checkpoint", "checkpoint_kimg", "kimg", "run")]
    rows = []
    for score in scores:
        for metric, estimate in (score["metrics"] or {"": {"value": None, "error": None}}).items():
            rows.append(
                {
                    "experiment": experiment,
                    **{key: score[key] for key in about},
                    "metric": metric,
                    **estimate,
                    **{key: score[key] for key in beside},
                }
            )
    return _whole(pd.DataFrame(rows).astype({"value": float, "error": float}))


def metric_frame(
    scores: Sequence[Mapping[str, Any]],
    metric: str,
    experiment: str,
    published: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per data set, protocol and model: mean and standard deviation over training seeds.

    `<metric>_std` (n - 1) is missing for a single seed; `<metric>_error` is the sampling error of
    one trained model, the mean over seeds. FID_infinity stands beside FID. Nothing is multiplied.
    Rows keep the order of the scores; `runs` lists the digests of the runs behind a row.
    """
    frame = pd.DataFrame(scores)
    told = [metric, "fid_infinity"] if metric == "fid" else [metric]
    rows = []
    for _, group in frame.groupby(KEYS, sort=False):
        row = {key: group[key].iloc[0] for key in KEYS}
        for name in told:
            values, errors = (
                pd.Series([m.get(name, {}).get(part) for m in group["metrics"]], dtype=float)
                for part in ("value", "error")
            )
            row |= {
                name: values.mean(),
                f"{name}_std": values.std(),
                f"{name}_error": errors.mean(),
            }
        row |= {
            "n_seeds": len(group),
            "n_failed": int((group["status"] != "ok").sum()),
            "status": _statuses(group),
            **_published_for(row, metric, published),
            **{key: _known(group[key]) for key in SAME},
            "experiment": experiment,
            "runs": " ".join(digest[:10] for digest in group["run"]),
        }
        rows.append(row)
    return _whole(pd.DataFrame(rows))


def _known(values: pd.Series) -> Any:
    """The first value that is known, None if none is."""
    return next(iter(values.dropna()), None)


def _statuses(runs: pd.DataFrame) -> str:
    """'ok', or what became of the other runs, as in '1 missing, 2 NaN'."""
    bad = runs.loc[runs["status"] != "ok", "status"].replace(WORDS)
    told = bad.value_counts(sort=False).items()
    return ", ".join(f"{n} {word}" for word, n in told) or "ok"


def read_published(path: str | Path) -> pd.DataFrame:
    """Published scores that a user supplies; UserError when columns are missing or values no numbers."""
    try:
        frame = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False)
        frame["value"] = frame["value"].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"cannot read {path}: {error}; expected a CSV file with the columns "
            f"{', '.join(PUBLISHED_COLUMNS)}"
        ) from error
    missing = [column for column in PUBLISHED_COLUMNS if column not in frame]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}")
    return frame


def _published_for(
    row: Mapping[str, Any], metric: str, published: pd.DataFrame | None
) -> dict[str, Any]:
    """The published value of a row's data set, protocol and model, and where it is from."""
    if published is not None:
        wanted = {key: row[key] for key in ("dataset", "model", "protocol")} | {"metric": metric}
        found = published
        for key, value in wanted.items():
            found = found[found[key] == value]
        if len(found):
            return {"published": found["value"].iloc[0], "source": found["source"].iloc[0]}
    return {"published": float("nan"), "source": ""}


def metric_caption(frame: pd.DataFrame, metric: str) -> str:
    """What the numbers are, in one paragraph; only Inception features give an 'FID'."""
    extractors = ", ".join(frame["extractor"].unique())
    inception = set(frame["extractor"]) == {"inception_v3"}
    if metric == "fid" and inception:
        measure = "FID (Inception-v3 features)"
    elif metric == "fid":
        measure = f"Fréchet distance in {extractors} features (not an Inception FID)"
    else:
        measure = f"KID x 1000 in {extractors} features"
    if frame["n_seeds"].max() > 1:
        spread = "mean ± standard deviation over seeds"
    elif frame[f"{metric}_error"].notna().any():
        spread = "± standard error of the sampling, one training each"
    else:
        spread = "one training each"
    parts = [f"{measure}, lower is better; {spread}", _samples(frame)]
    if frame["published"].notna().any():
        parts.append("in brackets the published value")
    return "; ".join(parts) + f"; experiment {frame['experiment'].iloc[0]}."


def _samples(frame: pd.DataFrame) -> str:
    """How many images, by protocol, from which checkpoint."""
    protocols = []
    for name, group in frame.groupby("protocol", sort=False):
        fakes, reals = (
            " or ".join(f"{n:,}" for n in group[name].dropna().unique()) or "all"
            for name in ("n_fake", "n_real")
        )
        protocols.append(f"protocol {name}: {fakes} samples against {reals} real images")
    return f"{', '.join(protocols)}; {' and '.join(frame['checkpoint'].unique())} checkpoint"


def _named(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.Series:
    """A row's name: the model's label, and the protocol where there are several."""
    names = frame["model"].map(lambda model: labels.get(model, model))
    return names + ", " + frame["protocol"] if frame["protocol"].nunique() > 1 else names


def _cell(value: float, spread: float, metric: str, scale: float = 1.0) -> str:
    if pd.isna(value):
        return "NaN"
    digits = 2 if metric in ("fid", "fid_infinity", "kid", "inception_score") else 3
    text = f"{scale * value:.{digits}f}"
    return text if pd.isna(spread) else f"{text} ± {scale * spread:.{digits}f}"


def paper_layout(frame: pd.DataFrame, metric: str, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models down, data sets across; cells as text, published values in brackets."""
    scale = SCALES.get(metric, 1.0)
    cells = []
    for row in frame.to_dict("records"):
        spread = row[f"{metric}_std"] if row["n_seeds"] > 1 else row[f"{metric}_error"]
        cell = _cell(row[metric], spread, metric, scale)
        if row["n_failed"] == row["n_seeds"]:
            # All in the same way: the word alone.
            counts = row["status"].split(", ")
            cell = counts[0].partition(" ")[2] if len(counts) == 1 else row["status"]
        if not pd.isna(row["published"]):
            cell += f" ({scale * row['published']:.2f})"
        if 0 < row["n_failed"] < row["n_seeds"]:
            cell += f", {row['status']}"
        cells.append(cell)
    cells = frame.assign(
        Model=_named(frame, labels),
        column=frame["dataset"] + " " + frame["resolution"].astype(str) + " px",
        cell=cells,
    )
    table = cells.pivot(index="Model", columns="column", values="cell")
    return table.loc[cells["Model"].unique(), cells["column"].unique()].fillna("—")


def scores_layout(tidy: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Models (and data sets, if several) down, metrics across: means over seeds, as text."""
    named = tidy.assign(Model=_named(tidy, labels))
    if tidy["dataset"].nunique() > 1:
        named["Model"] = named["Model"] + ", " + named["dataset"]
    shown = [metric for metric in FIRST if metric in set(tidy["metric"])]
    several = tidy["seed"].nunique() > 1
    columns = {}
    for metric in shown:
        rows = named[named["metric"] == metric].groupby("Model", sort=False)
        scale = SCALES.get(metric, 1.0)
        columns[metric] = {
            model: _cell(
                group["value"].mean(),
                group["value"].std() if several else group["error"].mean(),
                metric,
                scale,
            )
            for model, group in rows
        }
    table = pd.DataFrame(columns, index=pd.Index(named["Model"].unique(), name="Model"))
    heads = {"kid": "KID x 1000", "fid": "FID", "fid_infinity": "FID ∞"}
    states = named.groupby("Model", sort=False)["status"].first().replace({"ok": "—", **WORDS})
    table = table.apply(lambda column: column.fillna(states))
    return table.rename(columns=lambda c: heads.get(c, c.replace("_", " ")))


def scores_caption(tidy: pd.DataFrame) -> str:
    """What the columns are."""
    extractors = ", ".join(tidy["extractor"].unique())
    seeds = tidy["seed"].nunique()
    spread = "standard deviation over seeds" if seeds > 1 else "standard error of the sampling"
    return (
        f"Every score in {extractors} features, ± {spread} (of FID ∞: of the fit in 1/n; of the "
        f"Inception Score: over ten splits); {_samples(tidy)}; "
        f"experiment {tidy['experiment'].iloc[0]}."
    )


def comparison(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """Two score files side by side, as Markdown: differences in standard errors."""
    rows = []
    for metric, a in one["metrics"].items():
        b = two["metrics"].get(metric)
        if b is None or a["value"] is None or b["value"] is None or metric == "fid_difference":
            continue
        difference, apart = _errors_apart(a, b)
        rows.append(
            {
                "metric": metric,
                "A": _told(a),
                "B": _told(b),
                "A - B": f"{difference:+.4g}",
                "in standard errors": "unknown" if apart is None else f"{apart:+.1f}",
            }
        )
    names = [
        f"{letter}: {s['dataset']} {s['model']} seed {s['seed']} ({s['run'][:10]}), "
        f"{s['protocol']} protocol, {s['extractor']}, {s['n_real']:,} real and {s['n_fake']:,} "
        f"generated images, {s['checkpoint']} checkpoint"
        for letter, s in (("A", one), ("B", two))
    ]
    comparable = ("extractor", "resize", "format", "weights_sha256", "real_sha256", "n_real")
    differing = [key for key in comparable if one[key] != two[key]]
    warning = [f"NOT comparable: {', '.join(differing)} differ"] if differing else []
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    return "\n".join([*names, *warning, "", table])


def _errors_apart(
    one: Mapping[str, float | None], two: Mapping[str, float | None]
) -> tuple[float, float | None]:
    """Difference of two estimates, and the same in standard errors of it (None: unknown)."""
    difference = one["value"] - two["value"]
    if one["error"] is None or two["error"] is None:
        return difference, None
    error = math.hypot(one["error"], two["error"])
    return difference, difference / error if error else None


def _told(estimate: Mapping[str, float | None]) -> str:
    error = estimate["error"]
    return f"{estimate['value']:.4g}" + ("" if error is None else f" ± {error:.2g}")


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
