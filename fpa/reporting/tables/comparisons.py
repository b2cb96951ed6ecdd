"""Which model is better: every pair of models, and what somebody claims about them.

Every pair of models, for each data set, protocol and metric, by Welch's t-test over trainings:
models may vary differently from training to training, and trainings of one seed share nothing
across models, so that nothing can be paired. Holm's correction holds for all pairs of a data set,
protocol and metric together. An exact permutation test would assume less, but of five trainings
against five its smallest p is 2 / 252 = 0.008, which is never significant among ten pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

from fpa.core.lazy import pd, stats
from fpa.evaluation.metrics import METRICS, heading
from fpa.experiment.experiment import Claim
from fpa.reporting.results import Results
from fpa.reporting.tables.base import TABLES, Made, Table, number, own_columns, scaled, sentence
from fpa.reporting.tables.scores import published_for, tidy_scores

FEWEST = 3
"""Trainings of a model without which its spread is not known well enough to compare."""
LEVEL = 0.05

# Two samples -------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """Mean of one sample minus mean of another."""

    value: float
    low: float
    high: float
    """Ends of its 95% interval."""
    p: float
    """Two-sided; NaN, with the interval, where nothing varies."""


def difference(a: Sequence[float], b: Sequence[float], paired: bool = False) -> Difference:
    """Welch's t-test (1947) of two samples, or Student's of paired differences.

    Of fewer than FEWEST numbers on either side, and where nothing varies, only the value is known.
    """
    varying = [[x - y for x, y in zip(a, b, strict=True)]] if paired else [a, b]
    value = _mean(varying[0]) if paired else _mean(a) - _mean(b)
    if min(len(a), len(b)) < FEWEST or all(len({*values}) == 1 for values in varying):
        return Difference(value, math.nan, math.nan, math.nan)
    found = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    interval = found.confidence_interval(1 - LEVEL)
    return Difference(value, float(interval.low), float(interval.high), float(found.pvalue))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if len(values) else math.nan


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the same order; NaN stays out."""
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[i] = largest
    return corrected


# Every pair --------------------------------------------------------------------------------------

KEYS = ["dataset", "resolution", "protocol", "extractor", "metric"]
PAIR_COLUMNS = [
    *KEYS,
    *("model_a", "model_b", "mean_a", "mean_b", "n_a", "n_b"),
    *("difference", "low", "high", "p", "p_holm", "better", "verdict", "experiment"),
]
NO_DIFFERENCE = "no difference shown"
TOO_FEW = "too few trainings"


def comparisons_table(results: Results) -> Made:
    """Which differences between models exceed the spread of their trainings."""
    tidy = tidy_scores(results)
    frame = pairwise_frame(tidy)
    caption = _pairs_caption(frame, tidy["seed"].nunique())
    return Made(frame, _pairs_layout(frame, results), caption)


def pairwise_frame(tidy: pd.DataFrame) -> pd.DataFrame:
    """One row for each data set, protocol, metric and pair of models; none for fewer than 3 seeds.

    tidy: as `tidy_scores` makes it. Values are plain, differences A - B. Runs that are missing or NaN
    are left out, and a model with fewer than 3 trainings left has no p.
    """
    rows: list[dict[str, object]] = []
    if tidy["seed"].nunique() >= FEWEST:
        models = list(tidy["model"].unique())
        known = tidy[tidy["metric"].isin(list(METRICS))].dropna(subset="value")
        order = {name: place for place, name in enumerate(METRICS)}
        # By metric in the registry's order; data sets and protocols stay as they are.
        known = known.sort_values("metric", key=lambda names: names.map(order), kind="stable")
        for keys, group in known.groupby(KEYS, sort=False):
            values = {m: group.loc[group["model"] == m, "value"].tolist() for m in models}
            family = _family(values, METRICS[str(keys[-1])].lower_is_better)
            rows += [dict(zip(KEYS, keys, strict=True)) | row for row in family]
    frame = pd.DataFrame(rows, columns=PAIR_COLUMNS)
    return frame.assign(experiment=tidy["experiment"].iloc[0])


def _family(values: Mapping[str, list[float]], lower_is_better: bool) -> list[dict[str, object]]:
    """All pairs of models by one metric, corrected together."""
    pairs = list(combinations(values, 2))
    found = [difference(values[a], values[b]) for a, b in pairs]
    corrected = holm([one.p for one in found])
    rows: list[dict[str, object]] = []
    for (a, b), one, p in zip(pairs, found, corrected, strict=True):
        better = ""
        if p < LEVEL:
            better = a if (one.value < 0) == lower_is_better else b
        few = min(len(values[a]), len(values[b])) < FEWEST
        verdict = TOO_FEW if few else f"{better} is better" if better else NO_DIFFERENCE
        row = {"model_a": a, "model_b": b, "mean_a": _mean(values[a]), "mean_b": _mean(values[b])}
        row |= {"n_a": len(values[a]), "n_b": len(values[b]), "difference": one.value}
        row |= {"low": one.low, "high": one.high, "p": one.p, "p_holm": p}
        rows.append(row | {"better": better, "verdict": verdict})
    return rows


def _pairs_layout(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The same as text, of the metrics that have a table to themselves."""
    if frame.empty:
        return pd.DataFrame({"verdict": [TOO_FEW]}, pd.Index(["every pair"], name="A"))
    shown = frame[frame["metric"].map(lambda name: METRICS[name].table)]
    rows = [
        {
            "B": results.label(row["model_b"]),
            **own_columns(frame, row),
            "metric": heading(row["metric"], [row["extractor"]]),
            "A - B": scaled(row["difference"], row["metric"], "+"),
            "95% interval": _interval(row),
            "p": _p(row["p"]),
            "p (Holm)": _p(row["p_holm"]),
            "verdict": f"{results.label(row['better'])} is better"
            if row["better"]
            else row["verdict"],
        }
        for _, row in shown.iterrows()
    ]
    return pd.DataFrame(rows, pd.Index(shown["model_a"].map(results.label), name="A"))


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else number(value, ".4f")


def _interval(row: pd.Series) -> str:
    low, high = (scaled(row[end], row["metric"], "+") for end in ("low", "high"))
    return low if pd.isna(row["low"]) else f"{low} to {high}"


def _pairs_caption(frame: pd.DataFrame, seeds: int) -> str:
    if frame.empty:
        trainings = "one training" if seeds == 1 else f"{seeds} trainings"
        return (
            f"Comparing models takes at least {FEWEST} trainings (seeds) of each: from {trainings}, a "
            "difference between models cannot be told from the spread between trainings of one model."
        )
    pairs = frame.groupby(KEYS, sort=False).size().max()
    counts = {*frame["n_a"], *frame["n_b"]}
    n = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else max(counts)
    parts = [
        f"Differences between models, of their means over {n} trainings (seeds) of each",
        "p by Welch's t-test, two-sided, unpaired; p (Holm) corrected for "
        f"the {pairs} pairs of a data set, protocol and metric",
        f"a model is called better where that is below {LEVEL:g}; '{NO_DIFFERENCE}' does not mean "
        "that there is none",
        "the 95% interval is of each difference alone",
    ]
    return sentence(parts)


TABLES.register("comparisons", Table(comparisons_table))

# Claims ------------------------------------------------------------------------------------------
#
# The rule. An advantage is a difference of means over trainings, positive where the claim holds, with
# its 95% interval: Welch's, or Student's of the differences where trainings are paired. A claim about
# several models is judged by the pair with the smallest advantage. It is
#
#     supported       if the interval lies above zero
#     not supported   if it lies below zero
#     undecided       otherwise, and always with fewer than three trainings
#
# and for models that should be alike: supported if the interval lies within the margin, not supported
# if it lies outside. Claims are stated before they are tested, so they are not corrected for their
# number: of forty true ties, one is expected on either side.

GROUP = ["dataset", "resolution", "protocol", "extractor"]
SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


def claims_table(results: Results) -> Made:
    """What was stated, how large the effect is here, and the verdict."""
    frame = claims_frame(tidy_scores(results), results.claims, results.published)
    return Made(frame, _claims_layout(frame, results), _claims_caption(frame))


def claims_frame(
    tidy: pd.DataFrame, claims: Sequence[Claim], published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row for each claim, data set and protocol. Values are plain, advantages as stated above.

    tidy: as `tidy_scores` makes it.
    """
    rows = []
    for claim in claims:
        for keys, group in tidy.groupby(GROUP, sort=False):
            place = dict(zip(GROUP, keys, strict=True))
            scores = {
                str(model): part.set_index("seed")["value"].dropna()
                for model, part in group[group["metric"] == claim.metric].groupby("model")
            }
            row = {"claim": claim.name, "says": claim.says, "source": claim.source, **place}
            row |= {"metric": claim.metric, **_judge(claim, scores)._asdict()}
            for side in ("better", "than"):
                found = published_for({**place, "model": row[side]}, claim.metric, published)
                row[f"published_{side}"] = found["published"]
            rows.append(row)
    return pd.DataFrame(rows).assign(experiment=tidy["experiment"].iloc[0])


class Pair(NamedTuple):
    """Two models of a claim: the advantage of the one that is claimed to be better."""

    better: str
    than: str
    mean_better: float
    mean_than: float
    n_better: int
    n_than: int
    paired: bool
    advantage: float
    low: float
    high: float
    relative: float
    """The advantage over the other's mean."""
    alike: float | None
    verdict: str


def _judge(claim: Claim, scores: Mapping[str, pd.Series]) -> Pair:
    """The pair of models that decides a claim, and the verdict."""
    none = pd.Series(dtype=float)
    pairs = [
        _pair(claim, a, b, scores.get(a, none), scores.get(b, none))
        for a, b in product(claim.better, claim.than)
    ]
    found = {pair.verdict for pair in pairs}
    verdict = next(v for v in (NOT_SUPPORTED, UNDECIDED, SUPPORTED) if v in found)

    def strength(pair: Pair) -> float:
        if math.isnan(pair.relative):
            return -math.inf
        return -abs(pair.relative) if claim.alike else pair.relative

    return min((pair for pair in pairs if pair.verdict == verdict), key=strength)


def _pair(claim: Claim, a: str, b: str, of_a: pd.Series, of_b: pd.Series) -> Pair:
    """Advantage of model a over model b by their scores, indexed by seed."""
    sign = -1 if METRICS[claim.metric].lower_is_better else 1
    if claim.paired:
        shared = of_a.index.intersection(of_b.index)
        of_a, of_b = of_a[shared], of_b[shared]
    found = difference((sign * of_a).tolist(), (sign * of_b).tolist(), claim.paired)
    scale = abs(of_b.mean())
    return Pair(
        *(a, b, of_a.mean(), of_b.mean(), len(of_a), len(of_b), claim.paired),
        *(found.value, found.low, found.high),
        found.value / scale if scale else math.nan,
        claim.alike,
        _verdict(found, None if claim.alike is None else claim.alike * scale),
    )


def _verdict(advantage: Difference, margin: float | None) -> str:
    lowest, highest = (0.0, math.inf) if margin is None else (-margin, margin)
    # No comparison with an interval that is not known is true.
    if lowest < advantage.low and advantage.high < highest:
        return SUPPORTED
    outside = advantage.high < lowest or advantage.low > highest
    return NOT_SUPPORTED if outside else UNDECIDED


def _claims_layout(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The same as text: claims down."""
    rows = []
    measures = _measures(frame)
    for (_, row), measured in zip(frame.iterrows(), measures, strict=True):
        shown = {"verdict": row["verdict"], **own_columns(frame, row)}
        if len(set(measures)) > 1:
            shown["measure"] = measured
        for side, column in (("better", "claimed better"), ("than", "than")):
            mean, known = (
                scaled(row[f"{of}_{side}"], row["metric"]) for of in ("mean", "published")
            )
            value = mean if pd.isna(row[f"published_{side}"]) else f"{mean} ({known})"
            shown[column] = f"{results.label(row[side])}: {value}"
        shown["advantage"] = scaled(row["advantage"], row["metric"], "+")
        shown["95% interval"] = _interval(row)
        shown["trainings"] = " and ".join(dict.fromkeys([str(row["n_better"]), str(row["n_than"])]))
        rows.append(shown)
    return pd.DataFrame(rows, pd.Index(frame["says"], name="Claim"))


def _measures(frame: pd.DataFrame) -> list[str]:
    """What each claim is judged by."""
    pairs = zip(frame["metric"], frame["extractor"], strict=True)
    return [heading(metric, [extractor]) for metric, extractor in pairs]


def _claims_caption(frame: pd.DataFrame) -> str:
    counts = frame["verdict"].value_counts()
    found = ", ".join(f"{counts.get(v, 0)} {v}" for v in (SUPPORTED, NOT_SUPPORTED, UNDECIDED))
    measures = set(_measures(frame))
    parts = [
        f"Claims about the models, and what this experiment finds: {found}",
        f"by {measures.pop()}" if len(measures) == 1 else "",
        "the advantage is the difference of means over trainings (seeds), positive where the claim "
        "holds, with its 95% interval",
        f"supported: the interval is above zero; not supported: below; else, or with fewer than "
        f"{FEWEST} trainings, undecided",
    ]
    if frame["alike"].notna().any():
        shares = " or ".join(f"{s:.0%}" for s in sorted(frame["alike"].dropna().unique()))
        parts.append(f"models claimed to be alike: within {shares} of each other's mean")
    if frame["published_better"].notna().any() or frame["published_than"].notna().any():
        parts.append("in brackets the published value")
    return sentence(parts)


TABLES.register("claims", Table(claims_table, belongs=lambda experiment: experiment.claims))
