"""Two runs' scores side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from fpa.core.errors import UserError
from fpa.core.lazy import pd
from fpa.evaluation.distances import Estimate
from fpa.evaluation.protocols import counted
from fpa.evaluation.scores import Score

COMPARABLE = (
    *("extractor", "resize", "format", "weights_sha256", "real_sha256", "n_real", "n_fake"),
    *("n_precision_recall", "checkpoint", "settings", "stages"),
)
"""What two scores must share to be compared."""
SAMPLING = (
    "Standard errors are of sampling: of the same two trained models with other samples. Another "
    "training of either model may differ by several times as much."
)


def compare_runs(one: str | Path, two: str | Path) -> str:
    """Two runs' scores by every protocol that both have, with their differences, as Markdown.

    A run is named by its folder or by one of its score files. Scores of one name are made in the
    same way; where there are none, those of one protocol are compared. UserError when no protocol
    is shared, and when a folder holds several scores by it.
    """
    ours, theirs = _scores_of(Path(one)), _scores_of(Path(two))
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    done = {a.protocol for a, _ in pairs}
    our, their = (dict.fromkeys(s.protocol for s in side.values()) for side in (ours, theirs))
    for protocol in our:
        if protocol in their and protocol not in done:
            pairs.append((_only(ours, protocol, one), _only(theirs, protocol, two)))
    if not pairs:
        raise UserError(
            f"no protocol scores both: {one} has {', '.join(our)}; {two} has {', '.join(their)}"
        )
    return "\n\n".join(comparison(a, b) for a, b in pairs)


def _scores_of(place: Path) -> dict[str, Score]:
    """Scores by their file's name: all of a run's folder, or one score file."""
    paths = sorted(place.glob("score-*.json")) if place.is_dir() else [place]
    if not paths:
        raise UserError(f"{place} holds no score; `snakemake` makes them, or python -m fpa score")
    return {path.name: Score.read(path) for path in paths}


def _only(scores: Mapping[str, Score], protocol: str, place: str | Path) -> Score:
    """The score by a protocol; UserError when there are several."""
    names = [name for name, score in scores.items() if score.protocol == protocol]
    if len(names) > 1:
        raise UserError(
            f"{place} holds {len(names)} scores by protocol {protocol}, none of which the other run "
            f"has: {', '.join(names)}; name one of these files"
        )
    return scores[names[0]]


def comparison(one: Score, two: Score) -> str:
    """Two score files side by side, as Markdown: differences in standard errors."""
    rows = []
    for metric, a in one.metrics.items():
        b = two.metrics.get(metric)
        # The libraries' disagreement is not a score.
        if b is None or math.isnan(a.value) or math.isnan(b.value) or metric == "fid_difference":
            continue
        difference = a.value - b.value
        error = math.hypot(a.error, b.error)
        apart = f"{difference / error:+.1f}" if error > 0 else "unknown"
        rows.append(
            {
                "metric": metric,
                "A": _with_error(a),
                "B": _with_error(b),
                "A - B": f"{difference:+.4g}",
                "in standard errors of sampling": apart,
            }
        )
    lines = []
    for letter, s in ("A", one), ("B", two):
        # Images that somebody brought are of no training that is known.
        seed = "" if s.seed is None else f"seed {s.seed} "
        lines.append(
            f"{letter}: {s.dataset} {s.model} {seed}({s.run[:10]}), protocol {s.protocol} "
            f"({counted(s.as_json())}), {s.checkpoint} checkpoint"
        )
    if differing := _differing(_conditions(one), _conditions(two)):
        lines.append(f"NOT comparable: {', '.join(differing)}")
    if not rows:
        return "\n".join([*lines, "", "No metric has a value of both."])
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    return "\n".join([*lines, "", table, "", SAMPLING])


def _conditions(score: Score) -> dict[str, object]:
    """How a score was made: what is in COMPARABLE, each setting and stage by itself."""
    found: dict[str, object] = {}
    for key in COMPARABLE:
        value = getattr(score, key)
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": part for name, part in value.items()}
        elif value is not None:
            found[key] = value
    # Which metrics were asked for changes none of them.
    return {key: value for key, value in found.items() if key != "settings.metrics"}


def _differing(one: Mapping[str, object], two: Mapping[str, object]) -> list[str]:
    """What differs, with both values where a reader can do something with them."""

    def shown(value: object) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value)

    return [
        key
        if key.endswith("sha256")
        else f"{key} ({shown(one.get(key))} and {shown(two.get(key))})"
        for key in {**one, **two}
        if one.get(key) != two.get(key)
    ]


def _with_error(estimate: Estimate) -> str:
    error = "" if math.isnan(estimate.error) else f" ± {estimate.error:.2g}"
    return f"{estimate.value:.4g}{error}"
