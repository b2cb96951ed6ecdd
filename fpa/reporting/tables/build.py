"""From the contents of score and cost files to a table."""

from collections.abc import Mapping, Sequence

import pandas as pd

from fpa.evaluation.metrics import METRICS
from fpa.reporting.claims import Claim
from fpa.reporting.tables import metric
from fpa.reporting.tables.kinds import TABLES
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import mixed_stages
from fpa.reporting.tables.tidy import Entry


def build(
    kind: str,
    entries: Sequence[Entry],
    labels: Mapping[str, str],
    experiment: str,
    published: pd.DataFrame | None = None,
    claims: Sequence[Claim] = (),
    target: float | None = None,
) -> Built:
    """A table; arguments as in `Request`. UserError where there is no such kind.

    Its caption has a warning when the entries mix versions of a stage.
    """
    if kind not in TABLES:
        METRICS.get(kind, "table")
    make = TABLES[kind].load() if kind in TABLES else metric.build
    frame, shown, caption = make(
        Request(kind, entries, labels, experiment, published, claims, target)
    )
    return frame, shown, " ".join(filter(None, [caption, mixed_stages(entries)]))
