"""Two runs' scores side by side."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpa.common.errors import UserError
from fpa.common.files import read_json

Estimate = Mapping[str, Any]
"""A value and its standard error, None where unknown."""

COMPARABLE = ("extractor", "resize", "format", "weights_sha256", "real_sha256", "n_real")
"""What two scores must share to be compared."""


def compare_runs(one: str | Path, two: str | Path) -> str:
    """Two runs' scores by every protocol that both have, with their differences, as Markdown.

    A run is named by its folder or by one of its score files. UserError when they share no protocol.
    """
    ours, theirs = _scores_of(Path(one)), _scores_of(Path(two))
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise UserError(
            f"no protocol scores both: {one} has {', '.join(ours)}; {two} has {', '.join(theirs)}"
        )
    return "\n\n".join(comparison(ours[name], theirs[name]) for name in shared)


def _scores_of(place: Path) -> dict[str, dict[str, Any]]:
    """A run's scores by protocol: of its folder, or one score file."""
    paths = sorted(place.glob("score-*.json")) if place.is_dir() else [place]
    if not paths:
        raise UserError(f"{place} holds no score; `snakemake` makes them, or python -m fpa score")
    found = {}
    for path in paths:
        score = read_json(path)
        if not isinstance(score, dict) or "metrics" not in score:
            raise UserError(f"{path} is no score file; name a run's folder or its score-*.json")
        found[f"{score['protocol']}, {score['n_fake']:,} samples"] = score
    return found


def comparison(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """Two score files side by side, as Markdown: differences in standard errors."""
    import pandas as pd

    rows = []
    for metric, a in one["metrics"].items():
        b = two["metrics"].get(metric)
        # The libraries' disagreement is no score.
        if b is None or a["value"] is None or b["value"] is None or metric == "fid_difference":
            continue
        difference, apart = _errors_apart(a, b)
        rows.append(
            {
                "metric": metric,
                "A": _with_error(a),
                "B": _with_error(b),
                "A - B": f"{difference:+.4g}",
                "in standard errors": "unknown" if apart is None else f"{apart:+.1f}",
            }
        )
    names = [
        f"{letter}: {s['dataset']} {s['model']} seed {s['seed']} ({s['run'][:10]}), "
        f"{s['protocol']} protocol, {s['extractor']}, {s['n_real']:,} real and {s['n_fake']:,} "
        f"generated images, {s['checkpoint']} checkpoint"
        for letter, s in (("A", one), ("B", two))
    ]
    differing = [key for key in COMPARABLE if one[key] != two[key]]
    warning = [f"NOT comparable: {', '.join(differing)} differ"] if differing else []
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    return "\n".join([*names, *warning, "", table])


def _errors_apart(one: Estimate, two: Estimate) -> tuple[float, float | None]:
    """Difference of two estimates, and the same in standard errors of it (None: unknown)."""
    difference = one["value"] - two["value"]
    if one["error"] is None or two["error"] is None:
        return difference, None
    error = math.hypot(one["error"], two["error"])
    return difference, difference / error if error else None


def _with_error(estimate: Estimate) -> str:
    error = estimate["error"]
    return f"{estimate['value']:.4g}" + ("" if error is None else f" ± {error:.2g}")
