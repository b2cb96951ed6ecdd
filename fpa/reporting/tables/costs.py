"""What models cost: their size and speed, and the images and hours that a training needs to a distance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fpa.core.errors import cpu_threads, in_words
from fpa.core.lazy import pd
from fpa.core.provenance import processor
from fpa.reporting.results import Results, RunResults
from fpa.reporting.tables.base import TABLES, Made, Table, number, own_columns, row_names, sentence
from fpa.runs.folder import Cost

# Size and speed ----------------------------------------------------------------------------------


def models_table(results: Results) -> Made:
    """The models' size and cost."""
    frame = models_frame(results.costs)
    return Made(frame, _models_layout(frame, results), _models_caption(frame))


def models_frame(costs: Sequence[Cost]) -> pd.DataFrame:
    """One row for each data set and model: size, multiply-adds for one image, images per second."""
    rows = [
        {
            **dict(sorted(cost.as_json().items())),
            "device": processor(cost.hardware),
            "threads": cost.hardware["threads"],
        }
        for cost in costs
    ]
    return pd.DataFrame(rows).drop(columns=["hardware", "versions", "stages"], errors="ignore")


def _models_layout(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The same as text, three figures each: one row for each model (and data set, if several)."""

    def short(value: float) -> str:
        # Three figures, but never a power of ten.
        return "—" if pd.isna(value) else f"{float(f'{value:.3g}'):,.10g}"

    def millions(value: float) -> str:
        return short(value / 1e6)

    columns = {
        "G parameters (M)": frame["generator_parameters"].map(millions),
        "D parameters (M)": frame["discriminator_parameters"].map(millions),
        "G multiply-adds (M)": frame["generator_multiply_adds"].map(millions),
        "D multiply-adds (M)": frame["discriminator_multiply_adds"].map(millions),
        "training images/s": frame["training_images_per_second"].map(short),
        "sampling images/s": frame["sampling_images_per_second"].map(short),
        "budget (kimg)": frame["kimg"].map(short),
    }
    return pd.DataFrame(columns).set_index(row_names(frame, results, "dataset").rename("Model"))


def _models_caption(frame: pd.DataFrame) -> str:
    machines = dict.fromkeys(zip(frame["device"], frame["threads"], strict=True))
    places = " and ".join(f"{device}, {cpu_threads(threads)}" for device, threads in machines)
    sizes = ", ".join(map(str, frame["batch_size"].unique()))
    return (
        "Size and cost of the models: parameters (frozen ones included), multiply-adds of "
        "convolutions and matrix products for one image, and images per second of training steps "
        f"(without data, checkpoints and quick scores) and of sampling, batch size {sizes}, "
        f"measured on {places}."
    )


TABLES.register("models", Table(models_table, of="costs"))

# To a distance -----------------------------------------------------------------------------------

TARGET_COLUMNS = [
    *("experiment", "dataset", "resolution", "model", "seed", "target", "kimg", "budget_kimg"),
    *("base", "images_per_second", "hours", "budget_hours", "hardware"),
]


def targets_table(results: Results) -> Made:
    """How many images and hours a model needs to reach a Fréchet distance."""
    frame = targets_frame(results.runs, results.experiment, results.target)
    return Made(frame, _targets_layout(frame, results), _targets_caption(frame, results))


def target_of(histories: Sequence[tuple[str, pd.DataFrame]]) -> float:
    """The lowest distance that the mean training of every model reaches, of (model, history)."""
    curves: dict[str, list[pd.Series]] = {}
    for model, history in histories:
        curves.setdefault(model, []).append(history.set_index("kimg")["fid"].dropna())
    lowest = [pd.concat(curve, axis=1).mean(axis=1).min() for curve in curves.values()]
    return max((value for value in lowest if not math.isnan(value)), default=math.nan)


def targets_frame(
    runs: Sequence[RunResults], experiment: str, target: float | None = None
) -> pd.DataFrame:
    """One row for each training: the images that it had seen at its first quick score not above the
    target (kimg, missing if there was none), and the hours of training that they take.

    Runs without quick scores are left out. The hours of a run include the whole training that it
    starts from. target: `target_of` by default, for each data set.
    """
    budgets = {(r.run.dataset, r.run.model): r.run.kimg for r in runs}
    costs = {(r.run.dataset, r.run.model): r.cost for r in runs if r.cost}
    speeds = {key: cost.training_images_per_second for key, cost in costs.items()}

    def hours(kimg: float, key: tuple[str, str]) -> float:
        return 1000 * kimg / speeds.get(key, math.nan) / 3600

    scored = [(r, r.history) for r in runs if r.history is not None and "fid" in r.history]
    chosen = {
        dataset: target_of([(r.run.model, h) for r, h in scored if r.run.dataset == dataset])
        for dataset in dict.fromkeys(r.run.dataset for r, _ in scored)
    }
    rows = []
    for found, history in scored:
        run = found.run
        key = run.dataset, run.model
        goal = chosen[run.dataset] if target is None else target
        quick = history.dropna(subset="fid")
        reached = quick.loc[quick["fid"] <= goal, "kimg"]
        kimg = float(reached.iloc[0]) if len(reached) else math.nan
        base = run.dataset, found.base or ""
        before = hours(budgets.get(base, math.nan), base) if found.base else 0
        rows.append(
            {
                "experiment": experiment,
                **found.place,
                "base": found.base,
                "budget_kimg": run.kimg,
                "target": goal,
                "kimg": kimg,
                "images_per_second": speeds.get(key, math.nan),
                "hours": before + hours(kimg, key),
                "budget_hours": before + hours(run.kimg, key),
                "hardware": processor(costs[key].hardware) if key in costs else "",
            }
        )
    return pd.DataFrame(rows, columns=TARGET_COLUMNS)


def _targets_layout(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The same as text, one row for each model and data set: means over the trainings that got there."""
    rows, names = [], []
    for (_, model), group in frame.groupby(["dataset", "model"], sort=False):
        names.append(results.label(model))
        first, reached = group.iloc[0], group.dropna(subset="kimg")
        budget = f"more than {group['budget_kimg'].max():g}"
        row = {
            **own_columns(frame, first),
            "target": f"{first['target']:.1f}",
            "thousand images": _range(reached["kimg"], ".0f") if len(reached) else budget,
            "hours": _range(reached["hours"], ".3g"),
            "images/s": number(first["images_per_second"], ".3g"),
            "reached": f"{len(reached)} of {len(group)}",
        }
        rows.append(row)
    return pd.DataFrame(rows, pd.Index(names, name="Model"))


def _range(values: pd.Series, form: str) -> str:
    """The mean, and the ends where they differ."""
    mean, low, high = (number(v, form) for v in (values.mean(), values.min(), values.max()))
    return mean if low == high else f"{mean} ({low} to {high})"


def _targets_caption(frame: pd.DataFrame, results: Results) -> str:
    lowest = "the lowest that the mean training of every model reaches"
    hardware = [name for name in frame["hardware"].unique() if name]
    refiners = frame.loc[frame["base"].notna(), "model"].drop_duplicates()
    parts = [
        "Images and hours of training to a Fréchet distance, by the quick scores of the EMA generator: "
        f"the target is {lowest if results.target is None else 'given'}",
        "mean (lowest to highest) over the trainings that reached it, at the first quick score not "
        "above it",
        "hours at the measured speed of training steps alone"
        + (f", on {in_words(hardware)}" if hardware else ""),
    ]
    if len(refiners):
        names = in_words([results.label(name) for name in refiners])
        parts.append(
            f"those of {names} include the whole training of its painter, the images do not"
        )
    return sentence(parts)


TABLES.register(
    "targets", Table(targets_table, of="runs", belongs=lambda experiment: experiment.watched)
)
