"""From the contents of score and cost files to a table."""

from fpa.evaluation.metrics import METRICS
from fpa.reporting.tables import metric
from fpa.reporting.tables.kinds import TABLES
from fpa.reporting.tables.request import Built, Request
from fpa.reporting.tables.text import mixed_stages


def build(request: Request) -> Built:
    """A table; UserError where there is no such kind.

    Its caption has a warning when the entries mix versions of a stage.
    """
    if request.kind not in TABLES:
        METRICS.find(request.kind, "table")
    make = TABLES[request.kind].load() if request.kind in TABLES else metric.build
    frame, shown, caption = make(request)
    return frame, shown, " ".join(filter(None, [caption, mixed_stages(request.entries)]))
