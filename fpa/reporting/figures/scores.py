"""Scores by model and data set, over what a model costs, over painting steps, and how far they agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpa.core import artifacts
from fpa.core.errors import UserError, in_words
from fpa.core.lazy import pd, plt
from fpa.evaluation.metrics import METRICS, drawn_metrics, heading, label_of
from fpa.evaluation.protocols import counted
from fpa.reporting.figures.base import Context, Input, Spec, load_needed, register
from fpa.reporting.figures.theme import (
    MISSING,
    TEXT_WIDTH,
    Labels,
    empty_panel,
    model_colours,
    model_markers,
    room_beside,
    room_for_lines,
    shared_legend,
    unit_of_time,
)
from fpa.reporting.tables.base import STATUS_WORDS
from fpa.reporting.tables.quick_scores import FEWEST, SCOPES, score_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fpa.experiment.config import EvaluationSettings

CATEGORY = "Scores"

# By model and data set ---------------------------------------------------------------------------


def scores_specs(context: Context) -> Iterator[Spec]:
    sizes = ", ".join(
        f"{protocol.name} ({counted(protocol.model_dump())})"
        for protocol in context.experiment.protocols
    )
    yield context.spec(
        "scores",
        title="scores",
        category=CATEGORY,
        caption=f"Scores by model and data set, by protocol {sizes}. {context.error_bars}. "
        f"{_directions(context.config.evaluation)}".rstrip(),
        inputs=(Input(artifacts.table("scores")),),
        lines=True,
        options={"seeds": context.seeds},
    )


def draw_scores(spec: Spec, results: Path) -> Figure:
    return score_panels(load_needed(spec.inputs[0], results), spec.options["seeds"], spec.models)


def score_panels(scores: pd.DataFrame, seeds: Sequence[int], labels: Labels) -> Figure:
    """Every metric (rows) on every data set (columns): one point for each model with its error bar.

    `scores` as in scores.csv. The bar is the standard deviation over seeds, or with a single seed
    the standard error of sampling where that is known. What is missing, failed or NaN is named.
    """
    colours = model_colours(labels)
    panels, datasets = _panels(scores), list(scores["dataset"].unique())
    line = (0.16 + room_for_lines(labels.values())) * len(labels) + 0.45
    down, across = max(len(panels), 1), len(datasets)
    width = min(TEXT_WIDTH, 1.9 * across + 1 + room_beside(labels.values()))
    size = width, line * down + 0.3
    figure, grid = plt.subplots(down, across, figsize=size, squeeze=False, sharey=True)
    if not panels:
        empty_panel(grid[0, 0], "no run has a finite score")
    for row, (protocol, metric) in zip(grid, panels, strict=False):
        for ax, dataset in zip(row, datasets, strict=True):
            here = scores[(scores["dataset"] == dataset) & (scores["protocol"] == protocol)]
            points = mean_and_error(here, metric)
            for place, model in enumerate(labels):
                rows = here[here["model"] == model]
                _point(ax, place, rows, points, metric, seeds, colours[model])
            ax.spines["left"].set_visible(False)
            ax.grid(axis="y", linewidth=0.4, color="0.9")
            ax.tick_params(axis="y", length=0)
            ax.margins(x=0.15)
            ax.locator_params(axis="x", nbins=3)
        row[0].set_yticks(range(len(labels)), list(labels.values()))
        row[0].set_ylim(len(labels) - 0.5, -0.5)
        row[0].set_ylabel(_panel_title(scores, protocol, metric))
    for ax, dataset in zip(grid[0], datasets, strict=True):
        side = scores.loc[scores["dataset"] == dataset, "resolution"].iloc[0]
        ax.set_title(f"{dataset}\n{side} px" if across > 4 else f"{dataset} {side} px")
    figure.align_ylabels(grid[:, 0])
    return figure


def _point(
    ax: Axes,
    place: int,
    rows: pd.DataFrame,
    points: pd.DataFrame,
    metric: str,
    seeds: Sequence[int],
    colour: tuple,
) -> None:
    """One model's mean and error bar, or the word for why there is none."""
    values = rows.loc[rows["metric"] == metric, "value"].dropna() * METRICS[metric].scale
    if len(values):
        # Every seed as a tick; the bar comes from `mean_and_error`, which knows sampling errors too.
        places, colours = [place] * len(values), [colour] * len(values)
        ax.scatter(values, places, 25, colours, marker="|", linewidth=1, alpha=0.7, zorder=3)
        mean, error = points.loc[rows["model"].iloc[0], ["mean", "error"]]
        ax.errorbar(mean, place, xerr=_known(error), fmt="o", color=colour, capsize=2, markersize=4)
    bad = why_not(rows, metric, seeds)
    if bad:
        at, side, text = (1, "right", f"({bad})") if len(values) else (0.5, "center", bad)
        across = ax.get_yaxis_transform()
        ax.text(at, place, text, transform=across, ha=side, va="center", color=MISSING, size=6)


def _known(error: float) -> float | None:
    return None if pd.isna(error) else error


def why_not(rows: pd.DataFrame, metric: str, seeds: Sequence[int]) -> str:
    """'missing', 'failed', 'NaN 2×' ... of one model's runs; empty when every seed has its score."""
    of_metric = rows[(rows["metric"] == metric) | rows["metric"].isna()].drop_duplicates("seed")
    unknown = (of_metric["status"] == "ok") & of_metric["value"].isna()
    states = of_metric["status"].mask(unknown, "nan").set_axis(of_metric["seed"])
    counts = Counter(states.get(seed, "missing") for seed in seeds)
    return ", ".join(
        STATUS_WORDS.get(state, state) + (f" {n}×" if len(seeds) > 1 else "")
        for state, n in counts.items()
        if state != "ok"
    )


def _panels(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """(protocol, metric) of each row of panels: the drawn metrics that were measured, in order."""
    return [
        (protocol, metric)
        for protocol in scores["protocol"].unique()
        for metric in drawn_metrics()
        if ((scores["protocol"] == protocol) & (scores["metric"] == metric)).any()
    ]


def _directions(evaluation: EvaluationSettings) -> str:
    """Which of the drawn metrics are better when lower, which when higher, as a sentence."""
    drawn = [
        METRICS[name]
        for name in drawn_metrics()
        if name in evaluation.metrics
        and (evaluation.cross_check or not METRICS[name].needs_cross_check)
    ]
    parts: list[str] = []
    for is_lower, better in ((True, "lower"), (False, "higher")):
        named = [label_of(m.name, ()) for m in drawn if m.lower_is_better == is_lower]
        if named:
            parts.append(f"{in_words(named)}: {better}{'' if parts else ' is better'}")
    return f"{'; '.join(parts)}." if parts else ""


def _panel_title(scores: pd.DataFrame, protocol: str, metric: str) -> str:
    """What a metric is called in a protocol's features."""
    extractors = scores.loc[scores["protocol"] == protocol, "extractor"]
    name = heading(metric, extractors, "×")
    return f"{name}\n({protocol})" if scores["protocol"].nunique() > 1 else name


def mean_and_error(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row for each model: mean over seeds and error."""
    rows = scores[scores["metric"] == metric].set_index("model")[["value", "error"]]
    grouped = (METRICS[metric].scale * rows).groupby("model", sort=False)
    # Of one seed only the error of sampling is known. Bars of one figure are of one kind.
    several = scores["seed"].nunique() > 1
    error = grouped["value"].std() if several else grouped["error"].mean()
    return pd.DataFrame({"mean": grouped["value"].mean(), "error": error})


def _draw_points(
    ax: Axes, points: pd.DataFrame, across: str, labels: Labels, cap: float, line: float | None
) -> None:
    """One point for each model with its error bar, over a column of the points."""
    colours, markers = model_colours(labels), model_markers(labels)
    for name, point in points.iterrows():
        model = str(name)
        ax.errorbar(
            *(point[across], point["mean"], _known(point["error"])),
            label=labels[model],
            fmt=markers[model],
            color=colours[model],
            capsize=cap,
            markersize=4,
            elinewidth=line,
        )


register("scores", scores_specs, draw_scores)

# Over what a model costs -------------------------------------------------------------------------

FEWEST_MODELS = 3
"""Models below which the tables say as much."""
SPREAD = 4
"""The largest distance over the smallest beyond which distances are drawn on a logarithmic scale."""
WIDE, HIGH = 14, 6
"""Room for a number beside a point, in points of 1/72 inch."""
LINE = {"arrowstyle": "-", "linewidth": 0.4, "color": "grey", "shrinkA": 0, "shrinkB": 0}
"""From a point to its number, where that had to move."""
COSTS = {"parameters": "generator parameters (millions)", "time": "one training ({unit})"}


def tradeoffs_specs(context: Context) -> Iterator[Spec]:
    if len(context.labels) < FEWEST_MODELS or "fid" not in context.config.evaluation.metrics:
        return
    protocol = context.experiment.first_protocol
    yield context.spec(
        "tradeoffs",
        title="distance over size and time",
        category=CATEGORY,
        caption="Fréchet distance over the generator's parameters (those of a frozen painter included) "
        f"and over the time of a training ({counted(protocol.model_dump())}). The time is the "
        "budget divided by the speed in the table of models; that of a base is not included. "
        f"{context.error_bars}.",
        inputs=(Input(artifacts.table("scores")), Input(artifacts.table("models"))),
        lines=True,
        options={"protocol": protocol.name},
    )


def draw_tradeoffs(spec: Spec, results: Path) -> Figure:
    """A row for each data set, a panel for each cost; one numbered point for each model."""
    scores, models = (load_needed(part, results) for part in spec.inputs)
    scores = scores[scores["protocol"] == spec.options["protocol"]]
    labels = spec.models
    hours = 1000 * models["kimg"] / models["training_images_per_second"] / 3600
    parts, unit = unit_of_time(hours.max())
    costs = models.assign(parameters=models["generator_parameters"] / 1e6, time=parts * hours)
    datasets = list(scores["dataset"].unique())
    legend = (0.14 + room_for_lines(labels.values())) * len(labels) + 0.4
    down, size = len(datasets), (TEXT_WIDTH, max(2.6 * len(datasets), legend))
    figure, grid = plt.subplots(down, len(COSTS), figsize=size, squeeze=False, sharey="row")
    for axes, dataset in zip(grid, datasets, strict=True):
        here = scores[scores["dataset"] == dataset]
        points = mean_and_error(here, "fid").dropna(subset="mean")
        points = points.join(costs[costs["dataset"] == dataset].set_index("model")[list(COSTS)])
        for ax, cost in zip(axes, COSTS, strict=True):
            _tradeoff(ax, points.dropna(subset=cost), cost, labels)
        axes[0].set_ylabel("Fréchet distance" + (f", {dataset}" if down > 1 else ""))
    for ax, name in zip(grid[-1], COSTS.values(), strict=True):
        ax.set_xlabel(name.format(unit=unit))
    colours, markers = model_colours(labels), model_markers(labels)
    handles = [
        plt.Line2D([], [], color=colours[m], marker=markers[m], linestyle="", markersize=4)
        for m in labels
    ]
    names = [f"{number}  {label}" for number, label in enumerate(labels.values(), start=1)]
    figure.legend(handles, names, loc="outside right upper", handletextpad=0.1)
    return figure


def _tradeoff(ax: Axes, points: pd.DataFrame, cost: str, labels: Labels) -> None:
    """One point for each model with its error bar and its number."""
    if points.empty:
        empty_panel(ax, "no model has a score and a cost")
        return
    ax.set_xscale("log")
    if points["mean"].max() > SPREAD * points["mean"].min():
        # One model that fails must not press all others together.
        ax.set_yscale("log")
    _draw_points(ax, points, cost, labels, cap=1.5, line=0.7)
    low, high = points[cost].min(), points[cost].max()
    middle = np.sqrt(low * high)
    # At least a factor of two wide, so that equal costs look equal.
    ax.set_xlim(min(low * 0.9, middle / 1.5), max(high * 1.12, middle * 1.5))
    ticks = _steps(*ax.get_xlim())
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    if ax.get_yscale() == "log":
        rungs = _steps(*ax.get_ylim())
        ax.set_yticks(rungs, [f"{t:g}" for t in rungs])
    numbers = {model: str(number) for number, model in enumerate(labels, start=1)}
    texts = points.index.map(numbers)
    _write_beside(ax, list(zip(texts, points[cost], points["mean"], strict=True)))


def _write_beside(ax: Axes, texts: Sequence[tuple[str, float, float]]) -> None:
    """A text beside each point (text, x, y); one that would cover another moves up, on a thin line."""
    placed: list[tuple[float, float]] = []
    scale = 72 / ax.figure.dpi
    for text, x, y in sorted(texts, key=lambda one: one[2]):
        left, low = ax.transData.transform((x, y)) * scale  # in points
        height = max([low, *(up + HIGH for across, up in placed if abs(across - left) < WIDE)])
        placed.append((left, height))
        moved = height - low
        ax.annotate(
            text,
            (x, y),
            xytext=(5 + min(moved, 9), 2 + moved),
            textcoords="offset points",
            size=6,
            arrowprops=LINE if moved > 1 else None,
        )


def _steps(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between two numbers; where these are fewer than two, 1, 2, 3, 4, ..."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in (1, 2, 5), range(1, 10):
        found = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if len(found) > 1:
            break
    return found or [round((low * high) ** 0.5, 3)]


register("tradeoffs", tradeoffs_specs, draw_tradeoffs)

# How far they agree ------------------------------------------------------------------------------

AGREE = "RdBu"
"""Blue where scores agree."""
MOST_SLANTED = 5
"""Scores whose names fit side by side aslant."""
DARK = 0.6
"""Correlations from which on a cell's number is white."""


def agreement_specs(context: Context) -> Iterator[Spec]:
    yield context.spec(
        "agreement",
        title="agreement of scores",
        category=CATEGORY,
        caption="Spearman's rank correlation of every pair of scores, by data set: over the finished "
        "models, over the quick scores of all checkpoints, and over those within one training (mean "
        "over trainings). 1 (blue): both put everything in the same order of quality; -1 (red): in the "
        "opposite one.",
        inputs=(Input(artifacts.table("agreement")),),
    )


def draw_agreement(spec: Spec, results: Path) -> Figure:
    return correlation_panels(load_needed(spec.inputs[0], results))


def correlation_panels(table: pd.DataFrame) -> Figure:
    """A triangle of Spearman's correlations for each data set (rows) and scope (columns).

    `table` as in agreement.csv. A panel without a number says so.
    """
    datasets = list(table["dataset"].unique()) or [""]
    figure, grid = plt.subplots(
        len(datasets), len(SCOPES), figsize=(TEXT_WIDTH, 2.4 * len(datasets)), squeeze=False
    )
    for row, dataset in zip(grid, datasets, strict=True):
        for ax, scope in zip(row, SCOPES, strict=True):
            _triangle(ax, table[(table["dataset"] == dataset) & (table["scope"] == scope)])
            ax.set_title(f"{dataset}: {scope}" if len(datasets) > 1 else scope)
    return figure


def _triangle(ax: Axes, pairs: pd.DataFrame) -> None:
    known = pairs.dropna(subset="spearman")
    if known.empty:
        most = 0 if pairs.empty else int(pairs["n"].max())
        empty_panel(ax, f"too few to rank:\n{most} found, {FEWEST} needed")
        return
    labels: dict[str, str] = {}
    for _, row in pairs.iterrows():
        for side in "ab":
            name, extractor = row[f"score_{side}"], row[f"extractor_{side}"]
            labels.setdefault(name, score_label(name, "" if pd.isna(extractor) else extractor))
    # The first score has nothing to its left, the last one nothing below.
    square = known.pivot(index="score_b", columns="score_a", values="spearman")
    values = square.reindex(index=[*labels][1:], columns=[*labels][:-1]).to_numpy()
    ax.imshow(values, cmap=AGREE, vmin=-1, vmax=1)
    for (down, across), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > DARK else "black"
            ax.text(across, down, f"{value:.2f}", ha="center", va="center", color=colour, size=6)
    names = list(labels.values())
    upright = {"rotation": 90} if len(names) > MOST_SLANTED else {"rotation": 40, "ha": "right"}
    ax.set_xticks(range(len(names) - 1), names[:-1], **upright)
    ax.set_yticks(range(len(names) - 1), names[1:])
    ax.tick_params(length=0, labelsize=6)
    ax.spines[:].set_visible(False)


register("agreement", agreement_specs, draw_agreement)

# Over painting steps -----------------------------------------------------------------------------


def ablation_specs(context: Context) -> Iterator[Spec]:
    if steps := _painting_steps(context):
        yield context.spec(
            "ablation",
            name="ablation-steps",
            title="scores over painting steps",
            category=CATEGORY,
            caption="The effect of the number of painting steps on the scores. "
            f"{context.error_bars}.",
            inputs=(Input(artifacts.table("scores")),),
            lines=True,
            options={"steps": steps},
        )


def _painting_steps(context: Context) -> dict[str, int]:
    """Steps by model, of the largest set of painters that are the same but for them."""
    alike: dict[str, dict[str, int]] = {}
    for run in context.experiment.runs:
        if run.painter_steps:
            model = context.config.models[run.model]
            painter = {**model.settings.get("painter", {}), "steps": None}
            rest = {**model.settings, "painter": painter}
            training = model.training.model_dump()
            key = json.dumps([model.class_, model.base, training, rest], sort_keys=True)
            alike.setdefault(key, {})[run.model] = run.painter_steps
    found = max(alike.values(), key=lambda group: len(set(group.values())), default={})
    return found if len(set(found.values())) > 1 else {}


def draw_ablation(spec: Spec, results: Path) -> Figure:
    """An ablation: metrics (rows) over the painters' number of steps, on every data set."""
    scores = load_needed(spec.inputs[0], results)
    steps: Mapping[str, int] = spec.options["steps"]
    labels = spec.models
    scores = scores[scores["model"].isin(steps)]
    panels, datasets = _panels(scores), list(scores["dataset"].unique())
    if not panels:
        raise UserError("none of the models with different steps has a score")
    down, across = len(panels), len(datasets)
    size = min(TEXT_WIDTH, 2.4 * across + 1), 1.7 * down + 0.5
    figure, grid = plt.subplots(down, across, figsize=size, squeeze=False, sharex=True)
    every = sorted(set(steps.values()))
    for row, (protocol, metric) in zip(grid, panels, strict=True):
        for ax, dataset in zip(row, datasets, strict=True):
            here = scores[(scores["dataset"] == dataset) & (scores["protocol"] == protocol)]
            points = mean_and_error(here, metric).dropna(subset="mean")
            points = points.assign(steps=points.index.map(steps)).sort_values("steps")
            ax.plot(points["steps"], points["mean"], color="0.8", linewidth=1, zorder=0)
            _draw_points(ax, points, "steps", labels, cap=2, line=None)
            gone = [labels[m] for m in steps if m not in points.index]
            if gone:
                text, corner = f"no score: {', '.join(gone)}", {"ha": "right", "va": "top"}
                ax.text(0.98, 0.97, text, corner, transform=ax.transAxes, color=MISSING, size=6)
            ax.set_xscale("log", base=2)
            ax.set_xticks(every, [str(step) for step in every])
            ax.minorticks_off()
            ax.margins(x=0.15, y=0.15)
        row[0].set_ylabel(_panel_title(scores, protocol, metric))
    for ax, dataset in zip(grid[0], datasets, strict=True):
        ax.set_title(dataset)
    shared_legend(figure, grid.flat)
    figure.supxlabel("painting steps", size=8)
    return figure


register("ablation", ablation_specs, draw_ablation)
