"""The table of health: what is wrong with a training, beside how good its samples are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from fpa.core.errors import in_words
from fpa.core.lazy import pd
from fpa.evaluation.memorisation import CLOSE, LEVEL, memorisation
from fpa.models.loading import blind_loss
from fpa.reporting.results import Results, RunResults
from fpa.reporting.tables.base import TABLES, Made, Table, number, row_names, sentence

COLLAPSED = 0.05
"""Recall below which a generator is said to have lost most of what it should show."""
WON = 0.1
"""Discriminator loss at the end, as a share of that at the beginning, below which it has won."""
BLIND = 0.95
"""Discriminator loss at the end, as a share of that of one that cannot tell real from generated images,
from which it is said to see nothing."""
WORSE = 1.5
"""Last quick score over the best one from which a training is said to have become worse."""
LAST = 0.25
"""Share of a training over whose end losses are averaged."""
COPIES, LOST, UNBALANCED, SEES_NOTHING, DECLINED = (
    "may copy training images",
    "collapsed modes",
    "discriminator wins",
    "blind discriminator",
    "became worse",
)
RELOADED, BROKEN = "went back from NaN", "images that are not finite"
MEMORISED = (
    *("close", "close_low", "close_expected", "closest", "close_p", "n_samples", "n_held_out"),
)
"""Columns of what `memorisation` finds, in its order."""
HISTORY = ("d_loss_share", "d_loss_over_blind", "best_quick", "last_quick")
COLUMNS = [
    *("dataset", "resolution", "model", "seed", "noticed", *MEMORISED),
    *("recall", *HISTORY, "nan_reloads", "not_finite", "run", "experiment"),
]


def health_table(results: Results) -> Made:
    """What is wrong with each training, beside how good its samples are."""
    frame = health_frame(results.runs, results.experiment)
    return Made(frame, _health_layout(frame, results), _health_caption(frame))


def health_frame(runs: Sequence[RunResults], experiment: str) -> pd.DataFrame:
    """One row for each finished run; what is unknown is missing. `noticed`: words, separated by '; '."""
    rows = [_health(run) for run in runs if run.summary is not None]
    return pd.DataFrame([row | {"experiment": experiment} for row in rows], columns=COLUMNS)


def _health(run: RunResults) -> dict[str, object]:
    near = run.neighbours
    test = None if near is None else memorisation(near["distance"], near["real_distance"])
    memorised = dict(zip(MEMORISED, test, strict=True)) if test else {}
    scores = list(run.scores.values())
    recalls = [score.metrics["recall"].value for score in scores if "recall" in score.metrics]
    recall = min((value for value in recalls if not math.isnan(value)), default=math.nan)
    not_finite = max((score.not_finite for score in scores), default=0)
    training = _training(run)
    reloads: int | None = getattr(run.summary, "nan_reloads", None)
    # A comparison with NaN is false: what is unknown is not noticed.
    signs = {
        COPIES: test is not None and test.copies,
        LOST: recall < COLLAPSED,
        UNBALANCED: training["d_loss_share"] < WON,
        SEES_NOTHING: training["d_loss_over_blind"] >= BLIND,
        DECLINED: training["last_quick"] > WORSE * training["best_quick"],
        RELOADED: bool(reloads),
        BROKEN: not_finite > 0,
    }
    return {
        **run.place,
        **memorised,
        **training,
        "run": run.run.digest,
        "recall": recall,
        "not_finite": not_finite,
        "nan_reloads": reloads,
        "noticed": "; ".join(words for words, found in signs.items() if found),
    }


def _training(run: RunResults) -> dict[str, float]:
    """Loss balance and quick scores, from a training's history."""
    history = run.history
    found = dict.fromkeys(HISTORY, math.nan)
    if history is None:
        return found
    if "d_loss" in history:
        losses = history[["kimg", "d_loss"]].dropna()
        if len(losses) and losses["d_loss"].iloc[0] > 0:
            late = losses["kimg"] >= (1 - LAST) * losses["kimg"].iloc[-1]
            loss = losses.loc[late, "d_loss"].mean()
            found["d_loss_share"] = loss / losses["d_loss"].iloc[0]
            if run.summary is not None:
                model = run.summary.run["model"]
                found["d_loss_over_blind"] = loss / blind_loss(model["class"], model["settings"])
    if "fid" in history and history["fid"].notna().any():
        quick = history["fid"].dropna()
        found |= {"best_quick": quick.min(), "last_quick": quick.iloc[-1]}
    return found


def _noticed(group: pd.DataFrame, share: str) -> list[str]:
    """What was noticed; of several trainings, in which share of them, as in '({} of {})'."""
    counts = Counter(words for text in group["noticed"] for words in text.split("; ") if words)
    if len(group) == 1:
        return list(counts)
    return [f"{words} {share.format(n, len(group))}" for words, n in counts.items()]


def _health_layout(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    """One row for each model and data set: the worst of its trainings, as text."""
    frame = frame.assign(Model=row_names(frame, results, "dataset"))
    rows = [
        {
            "Model": group["Model"].iloc[0],
            "close to training images": number(group["close"].max(), ".1%"),
            "recall": number(group["recall"].min(), ".3f"),
            "discriminator loss": number(group["d_loss_share"].min(), ".0%"),
            "of a blind one's": number(group["d_loss_over_blind"].max(), ".0%"),
            "last / best quick score": number(
                (group["last_quick"] / group["best_quick"]).max(), ".2f"
            ),
            "NaN reloads": number(group["nan_reloads"].sum(min_count=1), ".0f"),
            "noticed": ", ".join(_noticed(group, "({} of {})")) or "nothing",
        }
        for _, group in frame.groupby(["dataset", "model"], sort=False)
    ]
    nothing = {"Model": "every model", "noticed": "no finished training"}
    return pd.DataFrame(rows or [nothing]).set_index("Model")


def _health_caption(frame: pd.DataFrame) -> str:
    tested = int(frame["close"].notna().sum())
    parts = [
        "Signs of overfitting and of faults, the worst of each model's trainings",
        "close to training images: the share of samples that are nearer to a training image than "
        f"{1 - CLOSE:.0%} of held-out real images are, {CLOSE:.0%} for a model that does not copy; "
        f"'{COPIES}' for p < {LEVEL:g}; tested in {tested} of {len(frame)} trainings",
        f"'{LOST}' for a recall below {COLLAPSED:g}",
        f"discriminator loss: in the last quarter, as a share of its first value; '{UNBALANCED}' "
        f"below {WON:.0%}",
        "of a blind one's: the same loss as a share of that of a discriminator that cannot tell real from "
        f"generated images; '{SEES_NOTHING}' from {BLIND:.0%} on",
        f"'{DECLINED}' where the last quick score is more than {WORSE:g} times the best",
    ]
    if frame["nan_reloads"].isna().any():
        parts.append("NaN reloads: — where a training was too early to count them")
    return sentence(parts)


def notes(frame: pd.DataFrame, results: Results) -> list[str]:
    """What a reader of the page needs to know before the numbers: one line for each model."""
    return [
        f"{results.label(model)} on {dataset}: {in_words(words)}. See the table health."
        for (dataset, model), group in frame.groupby(["dataset", "model"], sort=False)
        if (words := _noticed(group, "(in {} of {} trainings)"))
    ]


TABLES.register("health", Table(health_table, of="runs"))
