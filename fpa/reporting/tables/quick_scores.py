"""How far scores rank models and checkpoints alike, and which checkpoint each would have chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from fpa.core.lazy import pd, stats
from fpa.evaluation.metrics import METRICS, label_of
from fpa.reporting.results import Results, RunResults
from fpa.reporting.tables.base import TABLES, Made, Table, number, own_columns, row_names, sentence

FEWEST = 5
"""Observations without which a rank correlation is not worth a number: of four, one in 24 orders
agrees by chance."""
QUICK = ("fid", "precision", "recall")
"""Columns of a history that a quick score fills."""
QUICK_BEST = "quick"
"""The best quick score of a training, beside the scores of the finished model."""
FINAL, CHECKPOINTS, WITHIN = "finished models", "checkpoints", "within trainings"
SCOPES = {
    FINAL: "scores of the finished models, over all trainings",
    CHECKPOINTS: "quick scores, over the checkpoints of all trainings together",
    WITHIN: "quick scores, over the checkpoints of one training, mean over trainings",
}

# Agreement ---------------------------------------------------------------------------------------

BOTH = ("spearman", "kendall")
AGREEMENT_COLUMNS = [
    *("dataset", "resolution", "scope", "score_a", "score_b", "extractor_a", "extractor_b"),
    *("n", *BOTH, "experiment"),
]


def agreement_table(results: Results) -> Made:
    """How far the scores rank models and checkpoints alike."""
    frame = agreement_frame(results.runs, results.experiment)
    return Made(frame, _agreement_layout(frame), _agreement_caption(frame))


def rank_correlations(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b of two samples of as many numbers.

    NaN for fewer than FEWEST numbers, and where all numbers of one sample are the same.
    """
    if len(a) < FEWEST or len({*a}) == 1 or len({*b}) == 1:
        return math.nan, math.nan
    ranks = pd.DataFrame({"a": stats.rankdata(a), "b": stats.rankdata(b)})
    return float(ranks["a"].corr(ranks["b"])), float(stats.kendalltau(a, b).statistic)


def agreement_frame(runs: Sequence[RunResults], experiment: str) -> pd.DataFrame:
    """One row for each data set, scope and pair of scores.

    A positive correlation means that the two agree on what is better, whatever their directions.
    n: runs, checkpoints or trainings.
    """
    rows: list[dict[str, object]] = []
    for dataset in dict.fromkeys(run.run.dataset for run in runs):
        here = [run for run in runs if run.run.dataset == dataset]
        about = {"dataset": dataset, "resolution": here[0].run.resolution}
        rows += [about | row for row in (*_final(here), *_checkpoints(here))]
    return pd.DataFrame(rows, columns=AGREEMENT_COLUMNS).assign(experiment=experiment)


def _final(runs: Sequence[RunResults]) -> Iterator[dict[str, object]]:
    """Pairs of the finished models' scores, and of their best quick score."""
    observed = pd.DataFrame([_scores_of(run) for run in runs], dtype=float)
    extractors = {p: score.extractor for run in runs for p, score in run.scores.items()}
    protocols = {name: name.partition(":")[2] for name in map(str, observed)}
    several = len({*protocols.values()} - {""}) > 1
    for a, b in combinations(protocols, 2):
        both = observed[[a, b]].dropna()
        spearman, kendall = rank_correlations(both[a].tolist(), both[b].tolist())
        yield {
            "scope": FINAL,
            "score_a": a if several else a.partition(":")[0],
            "score_b": b if several else b.partition(":")[0],
            "extractor_a": extractors.get(protocols[a], ""),
            "extractor_b": extractors.get(protocols[b], ""),
            "n": len(both),
            "spearman": spearman,
            "kendall": kendall,
        }


def _scores_of(run: RunResults) -> dict[str, float]:
    """A run's scores as metric:protocol, and its best quick score; higher is better for all."""
    found: dict[str, float] = {}
    for protocol, score in run.scores.items():
        for name, metric in METRICS.items():
            value = score.metrics[name].value if name in score.metrics else math.nan
            if not math.isnan(value):
                found[f"{name}:{protocol}"] = -value if metric.lower_is_better else value
    best = run.summary.best if run.summary else None
    return found if best is None or best.fid is None else found | {QUICK_BEST: -best.fid}


def quick_scores(run: RunResults) -> pd.DataFrame:
    """The rows of a run's history with a whole and finite quick score; none without a history."""
    history = run.history
    if history is None or not {*QUICK} <= {*history}:
        return pd.DataFrame(columns=["kimg", *QUICK], dtype=float)
    quick = history[["kimg", *QUICK]].replace([math.inf, -math.inf], math.nan)
    return quick.dropna().reset_index(drop=True)


def _checkpoints(runs: Sequence[RunResults]) -> Iterator[dict[str, object]]:
    """Pairs of quick scores, over all checkpoints, and within each training."""
    each = [quick_scores(run).assign(fid=lambda part: -part["fid"]) for run in runs]
    together = pd.concat(each)
    for a, b in combinations(QUICK, 2):
        row = {"score_a": a, "score_b": b, "extractor_a": "", "extractor_b": ""}
        pooled, *found = (
            dict(zip(BOTH, rank_correlations(part[a].tolist(), part[b].tolist()), strict=True))
            for part in (together, *each)
        )
        yield {**row, "scope": CHECKPOINTS, "n": len(together), **pooled}
        within = pd.DataFrame(found).dropna()
        yield {**row, "scope": WITHIN, "n": len(within), **within.mean()}


def score_label(name: str, extractor: str) -> str:
    """What a score of this table is called."""
    metric, _, protocol = name.partition(":")
    if metric == QUICK_BEST:
        return "best quick score"
    # A quick score says nothing of its network here: it is a Fréchet distance in any.
    label = label_of(metric, [extractor])
    return f"{label} ({protocol})" if protocol else label


def _agreement_layout(frame: pd.DataFrame) -> pd.DataFrame:
    """The same as text, of the pairs with the first score of a scope; the CSV has all."""
    rows = [
        {
            "Score": score_label(row["score_a"], row["extractor_a"]),
            "and": score_label(row["score_b"], row["extractor_b"]),
            "of": row["scope"],
            **own_columns(frame, row),
            "n": f"{row['n']:,}",
            "Spearman": number(row["spearman"], "+.2f"),
            "Kendall": number(row["kendall"], "+.2f"),
        }
        for _, group in frame.groupby(["dataset", "scope"], sort=False)
        for _, row in group[group["score_a"] == group["score_a"].iloc[0]].iterrows()
    ]
    return pd.DataFrame(rows or [{"Score": "no scores", "n": "0"}]).set_index("Score")


def _agreement_caption(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "Rank correlation of scores: no run has a score or a history."
    parts = [
        "Rank correlation of scores: 1 where two scores put everything in the same order of quality, "
        "-1 in the opposite one",
        *(f"{scope}: {SCOPES[scope]}" for scope in frame["scope"].unique()),
        "checkpoints of one training resemble each other, so many of them are fewer independent "
        "observations",
    ]
    if bool(frame["spearman"].isna().any()):
        parts.append(f"— where there are fewer than {FEWEST} to rank, or all are the same")
    return sentence(parts)


TABLES.register("agreement", Table(agreement_table, of="runs"))

# Choices -----------------------------------------------------------------------------------------


def choices_table(results: Results) -> Made:
    """Which checkpoint each quick score would have chosen."""
    frame = choices_frame(results.runs, results.experiment)
    return Made(frame, _choices_layout(frame, results), _choices_caption(frame))


def choices_frame(runs: Sequence[RunResults], experiment: str) -> pd.DataFrame:
    """The checkpoint that each quick score would have chosen: one row for each run and score.

    fid, precision, recall: there. `same` is whether the Fréchet distance, which does choose, would
    have chosen it too.
    """
    rows = []
    for run in runs:
        quick = quick_scores(run)
        if quick.empty:
            continue
        # Of equal ones the first, as a training keeps it.
        best = {name: int(quick[name].argmax()) for name in QUICK if name != "fid"}
        best["fid"] = int(quick["fid"].argmin())
        for name in QUICK:
            rows.append(
                {
                    **run.place,
                    "score": name,
                    **{key: quick[key].iloc[best[name]] for key in ("kimg", *QUICK)},
                    "same": best[name] == best["fid"],
                    "n_checkpoints": len(quick),
                    "run": run.run.digest,
                }
            )
    columns = [
        *("dataset", "resolution", "model", "seed", "score", "kimg", *QUICK),
        *("same", "n_checkpoints", "run"),
    ]
    return pd.DataFrame(rows, columns=columns).assign(experiment=experiment)


def _choices_layout(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Models and scores down: what a score would have chosen, means over trainings, as text."""
    if frame.empty:
        return pd.DataFrame({"chosen by": ["no quick scores"]}, pd.Index(["every model"]))
    frame = frame.assign(Model=row_names(frame, results, "dataset"))
    rows = [
        {
            "Model": group["Model"].iloc[0],
            "chosen by": label_of(str(score), [""]),
            "kimg": f"{group['kimg'].mean():.4g}",
            "same as by Fréchet distance": f"{group['same'].sum()} of {len(group)}",
            "Fréchet distance": f"{group['fid'].mean():.2f}",
            "precision": f"{group['precision'].mean():.3f}",
            "recall": f"{group['recall'].mean():.3f}",
        }
        for (_, _, score), group in frame.groupby(["dataset", "model", "score"], sort=False)
    ]
    return pd.DataFrame(rows).set_index("Model")


def _choices_caption(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "Which checkpoint each quick score would have chosen: no run has a history with all."
    fewest, most = frame["n_checkpoints"].min(), frame["n_checkpoints"].max()
    words = f"{fewest} to {most}" if most > fewest else f"{most}"
    return (
        f"Which checkpoint each quick score would have chosen among the {words} of a training, and "
        "its quick scores, means over trainings; the best checkpoint is the one that the Fréchet "
        "distance chooses."
    )


TABLES.register("choices", Table(choices_table, of="runs"))
