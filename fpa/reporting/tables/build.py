"""From the contents of score and cost files to a table."""

from collections.abc import Mapping, Sequence

import pandas as pd

from fpa.evaluation.metrics import METRICS
from fpa.reporting.claims import Claim
from fpa.reporting.tables.agreement import agreement_caption, agreement_frame, agreement_layout
from fpa.reporting.tables.choices import choices_caption, choices_frame, choices_layout
from fpa.reporting.tables.claims import claims_caption, claims_frame, claims_layout
from fpa.reporting.tables.health import health_caption, health_frame, health_layout
from fpa.reporting.tables.metric import metric_caption, metric_frame, metric_layout
from fpa.reporting.tables.models import models_caption, models_frame, models_layout
from fpa.reporting.tables.pairwise import pairwise_caption, pairwise_frame, pairwise_layout
from fpa.reporting.tables.scores import scores_caption, scores_layout
from fpa.reporting.tables.targets import targets_caption, targets_frame, targets_layout
from fpa.reporting.tables.text import absent, mixed_stages
from fpa.reporting.tables.tidy import Entry, tidy_scores

Built = tuple[pd.DataFrame, pd.DataFrame, str]
"""What goes into the CSV, the same as text, and the caption."""


def build(
    kind: str,
    entries: Sequence[Entry],
    labels: Mapping[str, str],
    experiment: str,
    published: pd.DataFrame | None = None,
    claims: Sequence[Claim] = (),
    target: float | None = None,
) -> Built:
    """A table of `kind`: a metric's name, `scores`, `comparisons` or `claims` (of score files), `models` (of
    cost files), or `agreement`, `choices`, `health` or `targets` (of what `run_entries` gives).

    Its caption has a warning when the entries mix versions of a stage.
    """
    if kind == "targets":
        frame = targets_frame(entries, experiment, target)
        shown = targets_layout(frame, labels)
        caption = targets_caption(frame, target is not None, labels, experiment)
    elif kind == "models":
        frame = models_frame(entries)
        shown, caption = models_layout(frame, labels), models_caption(frame, experiment)
    elif kind == "scores":
        frame = tidy_scores(entries, experiment)
        shown, caption = (
            scores_layout(frame, labels),
            scores_caption(frame, absent(entries, METRICS)),
        )
    elif kind == "claims":
        frame = claims_frame(tidy_scores(entries, experiment), claims, published)
        shown, caption = claims_layout(frame, labels), claims_caption(frame, experiment)
    elif kind == "agreement":
        frame = agreement_frame(entries, experiment)
        shown, caption = agreement_layout(frame), agreement_caption(frame, experiment)
    elif kind == "choices":
        frame = choices_frame(entries, experiment)
        shown, caption = choices_layout(frame, labels), choices_caption(frame, experiment)
    elif kind == "health":
        frame = health_frame(entries, experiment)
        shown, caption = health_layout(frame, labels), health_caption(frame, experiment)
    elif kind == "comparisons":
        tidy = tidy_scores(entries, experiment)
        frame, seeds = pairwise_frame(tidy), tidy["seed"].nunique()
        shown = pairwise_layout(frame, labels)
        caption = pairwise_caption(frame, seeds, experiment)
    else:
        METRICS.get(kind, "table")
        frame = metric_frame(entries, kind, experiment, published)
        shown = metric_layout(frame, kind, labels)
        caption = metric_caption(frame, kind, absent(entries, [kind]))
    return frame, shown, " ".join(filter(None, [caption, mixed_stages(entries)]))
