"""Fills the tables of docs/performance.md and draws its figure, from benchmarks/results/.

    python docs/performance.py

Text between `<!-- NAME -->` and `<!-- end -->` is replaced; a test compares it with the results.
"""

import json
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
FIGURE = ROOT / "docs" / "performance-growth.png"

Rows = Sequence[Mapping[str, Any]]
WHOLE = ("step", "step with penalties")
STAGES = ("sample", "features", "features by torch-fidelity", "score")
"""Of benchmarks/peak_memory.py."""


def load(name: str) -> Any:
    """One of the kept results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            value = seconds * factor
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {unit}"
    raise AssertionError


def spread(row: Mapping[str, Any]) -> str:
    """Half the distance of the quartiles, or of the extremes of few repeats, in percent."""
    low, high = row["spread"]
    return f"± {50 * (high - low) / row['seconds']:.0f}%"


def factor(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    """A Markdown table whose first `texts` columns are text."""
    rule = ["---"] * texts + ["---:"] * (len(header) - texts)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def training(rows: Rows, size: str) -> str:
    """Whole steps against the arithmetic limit."""
    header = ("model", "step", "threads", "median", "spread", "plain / ours", "GFLOP")
    header += ("limit", "ours / limit", "GFLOP/s at the limit")
    found = (
        (
            *(row["name"], row["work"], str(row["threads"])),
            *(duration(row["seconds"]), spread(row)),
            *(factor(row["ratio"]), f"{row['gflop']:.1f}", duration(row["limit"])),
            *(factor(row["times_the_limit"]), f"{row['gflop'] / row['limit']:.0f}"),
        )
        for row in rows
        if row["stage"] == "training" and row["size"] == size and row["work"] in WHOLE
    )
    lines = list(found)
    return table(header, lines, 2) if lines else "Not measured yet."


def parts(rows: Rows) -> str:
    """Parts of steps, at both sizes."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["stage"] == "training" and row["work"] not in WHOLE:
            found.setdefault((row["name"], row["work"]), {})[row["size"]] = row
    header = ("model", "part", "default", "plain / ours", "paper", "plain / ours")
    lines = []
    for (name, work), sizes in found.items():
        cells = []
        for size in ("default", "paper"):
            row = sizes.get(size)
            cells += [duration(row["seconds"]), factor(row["ratio"])] if row else ["", ""]
        lines.append((name, work, *cells))
    return table(header, lines, 2)


def others(rows: Rows, stages: Sequence[str]) -> str:
    """Everything but training, line by line."""
    header = ("stage", "what", "size", "work", "plain form", "median", "spread", "plain / ours")
    found = (
        (
            *(row["stage"], row["name"], row["size"], row["work"], row["plain_form"] or "none"),
            *(duration(row["seconds"]), spread(row), factor(row["ratio"])),
        )
        for row in rows
        if row["stage"] in stages
    )
    return table(header, found, 5)


def growth(points: Rows, rate: float) -> str:
    """The parallel form's times and memory over T and D."""
    header = ("T", "D", "work", "time", "at the rate of products", "memory")
    header += ("one after another", "memory of that")
    sequential = {
        (point["T"], point["D"], point["work"]): point
        for point in points
        if point["form"] == "sequential"
    }
    lines = []
    for point in points:
        if point["form"] == "parallel":
            other = sequential.get((point["T"], point["D"], point["work"]))
            cells = (_median(other), _mib(other)) if other else ("", "")
            ideal = duration(point["flops"] / rate)
            named = (str(point["T"]), str(point["D"]), point["work"])
            lines.append((*named, _median(point), ideal, _mib(point), *cells))
    return table(header, lines, 3)


def _median(point: Mapping[str, Any]) -> str:
    return duration(statistics.median(point["seconds"]))


def _mib(point: Mapping[str, Any]) -> str:
    return f"{point['peak_bytes'] / 2**20:.1f} MiB"


def peaks(found: Mapping[str, Any]) -> str:
    """Peak memory of the stages of a protocol."""
    header = ("stage", "peak", "of files mapped", "time")
    lines = (
        (
            row["stage"],
            f"{row['mib'] / 1024:.2f} GiB",
            f"{row['mapped_mib'] / 1024:.2f} GiB",
            duration(row["seconds"]),
        )
        for row in found["stages"]
    )
    missing = [name for name in STAGES if name not in {row["stage"] for row in found["stages"]}]
    left = f"\n\nNot measured yet at this size: {', '.join(missing)}." if missing else ""
    return table(header, lines, 1) + left


def versions(found: Mapping[str, Any]) -> str:
    """Steps of this version and of the first."""
    header = (
        "model",
        "0.1: step",
        "with penalties",
        "now: step",
        "with penalties ",
        "times as fast",
    )

    def mean(one: Mapping[str, Any]) -> float:
        plain = statistics.median(one["steps"])
        return (plain * (one["cycle"] - 1) + one["penalised"]) / one["cycle"]

    lines = (
        (
            row["model"],
            *(
                duration(seconds)
                for one in (row["first"], row["this"])
                for seconds in (statistics.median(one["steps"]), one["penalised"])
            ),
            factor(mean(row["first"]) / mean(row["this"])),
        )
        for row in found["rows"]
    )
    return table(header, lines, 1)


def whole(found: Mapping[str, Any]) -> str:
    """The default experiment by both versions, and by this one as version 0.1 trained."""
    versions = [found[name] for name in ("first", "same_training", "this")]
    rows = []
    for stage in ("table of scores", "everything else"):
        for what, key in (("", "seconds"), (", CPU", "cpu_seconds")):
            taken = [version["stages"][stage][key] for version in versions]
            times = (f"{seconds:.0f} s" for seconds in taken)
            rows.append(
                (f"{stage}{what}", *times, factor(taken[1] / taken[0]), factor(taken[2] / taken[0]))
            )
    for model in found["this"]["scores"]:
        scores = (f"{version['scores'][model]:.1f}" for version in versions)
        rows.append((f"Fréchet distance, {model}", *scores, "", ""))
    header = ("", "0.1", "now, same training", "now", "same training / 0.1", "now / 0.1")
    return table(header, rows, 1)


def machine(found: Mapping[str, Any]) -> str:
    """Where and with what it was measured."""
    (hardware,) = found["hardware"]
    versions = found["versions"]
    named = ("fpa", "commit", "python", "torch", "torchvision", "numpy", "scipy", "clean-fid")
    libraries = ", ".join(f"{name} {versions[name]}" for name in named if name in versions)
    return f"{hardware['cpu']}, {hardware['cpu_cores']} cores; {libraries}."


def blocks() -> dict[str, str]:
    """Every generated part of the page by name."""
    cpu = load("cpu")
    rows = cpu["rows"]
    return {
        "machine": machine(cpu),
        "training default": training(rows, "default"),
        "training paper": training(rows, "paper"),
        "parts": parts(rows),
        "versions": versions(load("versions")),
        "experiment": whole(load("default-experiment")),
        "painting": others(rows, ["painting"]),
        "stages": others(rows, ["sampling", "scoring", "feeding", "planning"]),
        "growth": growth(cpu["growth"], cpu["rates"]["cpu"]),
        "memory": peaks(load("peak-memory")),
    }


def filled(text: str, made: Mapping[str, str]) -> str:
    """The page with these parts in place of those that it has."""
    for name, block in made.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(
            pattern, lambda found, b=block: f"{found[1]}\n{b}\n\n{found[2]}", text, flags=re.S
        )
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} places for '{name}', expected 1")
    return text


def draw(points: Rows, rate: float) -> Any:
    """Time and peak memory of the parallel form over T and D, against its formulas."""
    import matplotlib.pyplot as plt

    from fpa.reporting.figures.theme import COLOURS

    figure, axes = plt.subplots(2, 2, figsize=(6.75, 4.2), sharex="col")
    for column, varied, fixed in ((0, "T", "D"), (1, "D", "T")):
        for colour, work in zip(COLOURS, ("forward", "with backward"), strict=False):
            chosen = sorted(
                (
                    point
                    for point in points
                    if point["form"] == "parallel" and point["work"] == work and point[fixed] == 64
                ),
                key=lambda point: point[varied],
            )
            x = [point[varied] for point in chosen]
            measured = (
                [1e3 * statistics.median(point["seconds"]) for point in chosen],
                [point["peak_bytes"] / 2**20 for point in chosen],
            )
            expected = (
                [1e3 * point["flops"] / rate for point in chosen],
                [point["expected_bytes"] / 2**20 for point in chosen],
            )
            for ax, values, formula in zip(axes[:, column], measured, expected, strict=True):
                ax.loglog(x, values, "o", color=colour, label=work, ms=4)
                ax.loglog(x, formula, "-", color=colour, lw=1, label=f"{work}, formula")
        axes[1, column].set_xlabel(f"{varied} ({fixed} = 64)")
        axes[1, column].set_xticks(x, [str(value) for value in x])
        axes[1, column].minorticks_off()
    axes[0, 0].set_ylabel("time, ms")
    axes[1, 0].set_ylabel("peak memory, MiB")
    axes[0, 0].legend(fontsize="small")
    return figure


def main() -> None:
    """Write the page and the figure."""
    sys.path.insert(0, str(ROOT))
    from fpa.core.files import write_text
    from fpa.reporting.figures.theme import save_figure, use_theme

    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), blocks()))
    cpu = load("cpu")
    use_theme()
    save_figure(draw(cpu["growth"], cpu["rates"]["cpu"]), [FIGURE])


if __name__ == "__main__":
    main()
