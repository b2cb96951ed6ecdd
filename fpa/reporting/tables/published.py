"""Published scores."""

from __future__ import annotations

from pathlib import Path

from fpa.core.errors import UserError
from fpa.core.lazy import pd

PUBLISHED = Path(__file__).parent.parent / "published.csv"
"""The list of published scores that comes with the project."""
COLUMNS = ["dataset", "model", "metric", "value", "protocol", "source"]


def read_published(path: str | Path) -> pd.DataFrame:
    """Published scores from a CSV file; UserError when columns are missing or values no numbers."""
    try:
        frame = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False)
        frame["value"] = frame["value"].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"cannot read {path}: {error}; expected a CSV file with the columns "
            f"{', '.join(COLUMNS)}"
        ) from error
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}")
    return frame
