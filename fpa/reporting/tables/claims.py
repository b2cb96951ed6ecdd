"""The table of claims: what was stated, how large the effect is here, and the verdict.

The rule. An advantage is a difference of means over trainings, positive where the claim holds, with
its 95% interval: Welch's, or Student's of the differences where trainings are paired. A claim about
several models is judged by the pair with the smallest advantage. It is

    supported       if the interval lies above zero
    not supported   if it lies below zero
    undecided       otherwise, and always with fewer than three trainings

and for models that should be alike: supported if the interval lies within the margin, not supported
if it lies outside. Claims are stated before they are tested, so they are not corrected for their
number: of forty true ties, one is expected on either side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from fpa.core.lazy import pd
from fpa.evaluation.metrics import METRICS
from fpa.experiment.experiment import Claim
from fpa.reporting.measures import heading, measure
from fpa.reporting.tables.metric import published_for
from fpa.reporting.tables.pairwise import FEWEST, LEVEL, Difference, welch
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import sentence
from fpa.reporting.tables.tidy import tidy_scores

GROUP = ["dataset", "resolution", "protocol", "extractor"]
COLUMNS = [
    *("claim", "says", "source", *GROUP, "metric", "better", "than"),
    *("mean_better", "mean_than", "n_better", "n_than", "paired"),
    *("advantage", "low", "high", "relative", "alike", "verdict"),
    *("published_better", "published_than", "experiment"),
]
SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


def student(differences: Sequence[float]) -> Difference:
    """Student's t-test of paired differences, of at least two."""
    from scipy.stats import t

    n = len(differences)
    mean = sum(differences) / n
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    if error == 0:
        return Difference(mean, math.nan, math.nan, math.nan)
    half = error * float(t.ppf(1 - LEVEL / 2, n - 1))
    return Difference(mean, mean - half, mean + half, 2 * float(t.sf(abs(mean) / error, n - 1)))


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
            row = _judge(claim, scores)
            for side in ("better", "than"):
                wanted = {**place, "model": row[side]}
                found = published_for(wanted, claim.metric, published)["published"]
                row[f"published_{side}"] = found
            about = {"claim": claim.name, "says": claim.says, "source": claim.source}
            rows.append({**about, **place, "metric": claim.metric, **row})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(experiment=tidy["experiment"].iloc[0])


def _judge(claim: Claim, scores: Mapping[str, pd.Series]) -> dict[str, Any]:
    """The pair of models that decides a claim, and the verdict."""
    none = pd.Series(dtype=float)
    pairs = [
        _pair(claim, a, b, scores.get(a, none), scores.get(b, none))
        for a, b in product(claim.better, claim.than)
    ]
    verdicts = [pair["verdict"] for pair in pairs]
    if NOT_SUPPORTED in verdicts:
        verdict = NOT_SUPPORTED
    else:
        verdict = UNDECIDED if UNDECIDED in verdicts else SUPPORTED
    deciding = [pair for pair in pairs if pair["verdict"] == verdict]

    def strength(pair: Mapping[str, Any]) -> float:
        if math.isnan(pair["relative"]):
            return -math.inf
        return -abs(pair["relative"]) if claim.alike else pair["relative"]

    return min(deciding, key=strength)


def _pair(claim: Claim, a: str, b: str, of_a: pd.Series, of_b: pd.Series) -> dict[str, Any]:
    """Advantage of model a over model b by their scores, indexed by seed."""
    sign = -1 if METRICS[claim.metric].lower_is_better else 1
    if claim.paired:
        shared = of_a.index.intersection(of_b.index)
        of_a, of_b = of_a[shared], of_b[shared]
    enough = min(len(of_a), len(of_b)) >= FEWEST
    found = Difference(sign * (of_a.mean() - of_b.mean()), math.nan, math.nan, math.nan)
    if enough and claim.paired:
        found = student((sign * (of_a - of_b)).tolist())
    elif enough:
        found = welch((sign * of_a).tolist(), (sign * of_b).tolist())
    scale = abs(of_b.mean())
    return {
        **{"better": a, "than": b, "mean_better": of_a.mean(), "mean_than": of_b.mean()},
        **{"n_better": len(of_a), "n_than": len(of_b), "paired": claim.paired},
        **{"advantage": found.value, "low": found.low, "high": found.high},
        **{"relative": found.value / scale if scale else math.nan, "alike": claim.alike},
        "verdict": _verdict(found, None if claim.alike is None else claim.alike * scale),
    }


def _verdict(advantage: Difference, margin: float | None) -> str:
    if math.isnan(advantage.low):
        return UNDECIDED
    if margin is not None:
        if -margin < advantage.low and advantage.high < margin:
            return SUPPORTED
        outside = advantage.low > margin or advantage.high < -margin
        return NOT_SUPPORTED if outside else UNDECIDED
    if advantage.low > 0:
        return SUPPORTED
    return NOT_SUPPORTED if advantage.high < 0 else UNDECIDED


def claims_layout(frame: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """The same as text: claims down."""
    rows = []
    measures = _measures(frame)
    for row, measured in zip(frame.to_dict("records"), measures, strict=True):
        metric = METRICS[row["metric"]]

        def number(value: float, form: str = "", metric: Any = metric) -> str:
            if pd.isna(value):
                return "—"
            return format(metric.scale * value, f"{form}.{metric.digits}f")

        shown = {"verdict": row["verdict"]}
        for key in ("dataset", "protocol"):
            if frame[key].nunique() > 1:
                shown[key.replace("dataset", "data set")] = row[key]
        if len(set(measures)) > 1:
            shown["measure"] = measured
        for side, column in (("better", "claimed better"), ("than", "than")):
            model = labels.get(row[side], row[side])
            value = number(row[f"mean_{side}"])
            if not pd.isna(row[f"published_{side}"]):
                value += f" ({number(row[f'published_{side}'])})"
            shown[column] = f"{model}: {value}"
        shown["advantage"] = number(row["advantage"], "+")
        shown["95% interval"] = (
            "—"
            if pd.isna(row["low"])
            else f"{number(row['low'], '+')} to {number(row['high'], '+')}"
        )
        shown["trainings"] = (
            str(row["n_better"])
            if row["n_better"] == row["n_than"]
            else f"{row['n_better']} and {row['n_than']}"
        )
        rows.append(shown)
    return pd.DataFrame(rows, pd.Index(frame["says"], name="Claim"))


def _measures(frame: pd.DataFrame) -> list[str]:
    """What each claim is judged by."""
    pairs = zip(frame["metric"], frame["extractor"], strict=True)
    return [heading(metric, measure(metric, [extractor]), "x") for metric, extractor in pairs]


def claims_caption(frame: pd.DataFrame, experiment: str) -> str:
    """How claims are judged, and how many were."""
    counts = frame["verdict"].value_counts()
    found = ", ".join(f"{counts.get(v, 0)} {v}" for v in (SUPPORTED, NOT_SUPPORTED, UNDECIDED))
    parts = [
        f"Claims about the models, and what this experiment finds: {found}",
        f"by {one[0]}" if len(one := sorted(set(_measures(frame)))) == 1 else "",
        "the advantage is the difference of means over trainings (seeds), positive where the claim "
        "holds, with its 95% interval",
        f"supported: the interval is above zero; not supported: below; else, or with fewer than "
        f"{FEWEST} trainings, undecided",
    ]
    if frame["alike"].notna().any():
        margins = sorted(frame["alike"].dropna().unique())
        shares = " or ".join(f"{share:.0%}" for share in margins)
        parts.append(f"models claimed to be alike: within {shares} of each other's mean")
    if frame["published_better"].notna().any() or frame["published_than"].notna().any():
        parts.append("in brackets the published value")
    return sentence(parts, experiment)


def build(request: Request) -> Built:
    """The table of claims."""
    tidy = tidy_scores(request.entries, request.experiment)
    frame = claims_frame(tidy, request.claims, request.published)
    shown = claims_layout(frame, request.labels)
    return frame, shown, claims_caption(frame, request.experiment)
