"""A number and how sure it is."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number and its standard error, NaN where that is unknown."""

    value: float
    error: float
