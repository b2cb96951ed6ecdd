"""What a table is made from, and what it is made into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fpa.core.lazy import pd
from fpa.experiment.experiment import Claim
from fpa.reporting.tables.tidy import Entry

Built: TypeAlias = "tuple[pd.DataFrame, pd.DataFrame, str]"
"""What goes into the CSV, the same as text, and the caption."""


@dataclass(frozen=True)
class Request:
    """A table that is asked for."""

    kind: str
    """A metric's name, or one of `fpa.reporting.tables.kinds.TABLES`."""
    entries: Sequence[Entry]
    """Contents of score files, for `models` of cost files, for OF_RUNS what `run_entries` gives."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Names of models in the text; a model without one goes by its own."""
    experiment: str = ""
    published: pd.DataFrame | None = None
    """Published scores."""
    claims: Sequence[Claim] = ()
    """What is to be judged."""
    target: float | None = None
    """The distance to be reached, where it is given."""
