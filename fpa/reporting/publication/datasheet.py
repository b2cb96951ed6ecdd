"""What was run where: machines, versions, hours, images, seeds, and the data with their licence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpa.core import artifacts
from fpa.core.files import read_json
from fpa.core.lazy import pd
from fpa.evaluation.protocols import counted
from fpa.reporting.description import Description, labels
from fpa.reporting.publication.card import machine, source_of
from fpa.reporting.tables.writing import escape_markdown, to_markdown


def rows(about: Description, results: Path) -> list[dict[str, Any]]:
    """One row for each training of a finished experiment."""
    found = []
    for run in about["runs"]:
        summary = read_json(results / run["folder"] / artifacts.SUMMARY)
        versions = summary["versions"]
        found.append(
            {
                **{key: run[key] for key in ("dataset", "model", "seed", "digest")},
                "images": round(1000 * summary["kimg"]),
                "steps": summary["steps"],
                "hours": round(summary.get("seconds_of_last_attempt", 0) / 3600, 3),
                "machine": machine(summary),
                "precision": summary.get("precision", []),
                "versions": versions,
                "stages": summary.get("stages", {}),
                "images_sha256": summary["images_sha256"],
            }
        )
    return found


def datasets(about: Description, results: Path) -> list[dict[str, Any]]:
    """Each data set: where its images are from, how many, their licence and digest."""
    found: dict[str, dict[str, Any]] = {}
    for run in about["runs"]:
        summary = read_json(results / run["folder"] / artifacts.SUMMARY)
        dataset = summary["run"]["dataset"]
        source = source_of(dataset)
        found[run["dataset"]] = {
            "dataset": run["dataset"],
            "source": dataset["source"],
            "description": source.description,
            "page": source.page,
            "licence": source.licence,
            "citation": source.citation,
            "images": dataset["count"],
            "resolution": dataset["resolution"],
            "images_sha256": summary["images_sha256"],
        }
    return list(found.values())


def datasheet(about: Description, publication: Mapping[str, Any]) -> str:
    """The datasheet as Markdown."""
    trainings, sources = publication["trainings"], publication["datasets"]
    parts = [
        f"# Datasheet of {escape_markdown(about['experiment'])}",
        _summary(about, trainings),
        "## Data",
        *(_data(entry) for entry in sources),
        "## Evaluation",
        *(_protocol(about, protocol) for protocol in about["protocols"]),
        "## Trainings",
        "Hours are those of a training's last attempt: what was done before an interruption is not "
        "in them. Digests cover everything that the weights depend on.",
        _table(labels(about), trainings),
        "## Versions",
        "Trainings:",
        "\n".join(f"- {escape_markdown(line)}" for line in _versions(trainings)),
        "Tables, figures and report: "
        + escape_markdown(", ".join(f"{k} {v}" for k, v in publication["versions"].items()))
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _summary(about: Description, trainings: Sequence[Mapping[str, Any]]) -> str:
    hours: dict[str, float] = {}
    for row in trainings:
        hours[row["machine"]] = hours.get(row["machine"], 0) + row["hours"]
    where = "; ".join(f"{hours[name]:.1f} hours on {name}" for name in sorted(hours))
    seeds = ", ".join(map(str, about["config"]["seeds"]))
    images = sum(row["images"] for row in trainings)
    return escape_markdown(
        f"Trainings: {len(trainings)}; seeds: {seeds}; images seen in all: {images:,}; {where}."
    )


def _data(entry: Mapping[str, Any]) -> str:
    count = f"{entry['images']:,} images" if entry["images"] else "images"
    lines = [
        f"{entry['dataset']}: {entry['description']}; {count} at {entry['resolution']} px",
        f"Licence: {entry['licence'] or 'not known'}",
        *([f"From: {entry['page']}"] if entry["page"] else []),
        *([f"Cite: {entry['citation']}"] if entry["citation"] else []),
    ]
    text = "\n".join(f"- {escape_markdown(line)}" for line in lines)
    return f"{text}\n- Digest of the prepared images: `{entry['images_sha256']}`"


def _protocol(about: Description, protocol: Mapping[str, Any]) -> str:
    evaluation = about["config"]["evaluation"]
    return "- " + escape_markdown(
        f"Protocol {protocol['name']}: {counted(protocol)}; {evaluation['checkpoint']} checkpoint, "
        f"seed {evaluation['seed']}"
    )


def _table(names: Mapping[str, str], trainings: Sequence[Mapping[str, Any]]) -> str:
    frame = pd.DataFrame(
        [
            {
                "model": names.get(row["model"], row["model"]),
                "data set": row["dataset"],
                "seed": row["seed"],
                "images": f"{row['images']:,}",
                "hours": f"{row['hours']:.2f}",
                "machine": row["machine"],
                "precision": ", ".join(row["precision"]) or "float32",
                "commit": row["versions"].get("commit", "not recorded"),
                "digest": row["digest"][:10],
            }
            for row in trainings
        ]
    ).set_index("model")
    return to_markdown(frame, "").strip()


def _versions(trainings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every version of each library that a training ran with."""
    found: dict[str, set[str]] = {}
    for row in trainings:
        for name, version in row["versions"].items():
            found.setdefault(name, set()).add(version)
    return [f"{name} {', '.join(sorted(found[name]))}" for name in sorted(found)]
