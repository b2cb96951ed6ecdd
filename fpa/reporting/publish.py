"""A finished experiment as one folder for an archive or a model hub, with a datasheet and a citation."""

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import fpa
from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest, write_json, write_text
from fpa.core.lazy import pd
from fpa.core.progress import log
from fpa.data.sources import DatasetSpec
from fpa.evaluation.protocols import counted
from fpa.evaluation.scores import Score
from fpa.experiment.experiment import Experiment, ProtocolEntry
from fpa.reporting import publication as layout
from fpa.reporting.bundle import pack
from fpa.reporting.model_card import export_run, machine, source_of
from fpa.reporting.publication import DataSource, Publication, TrainingRecord
from fpa.reporting.tables.rendering import escape_markdown, to_markdown
from fpa.runs.folder import RunFolder

PAPER = {
    "type": "conference-paper",
    "title": "Images as Weight Matrices: Sequential Image Generation Through Synaptic Learning Rules",
    "authors": [
        {"given-names": "Kazuki", "family-names": "Irie"},
        {"given-names": "Jürgen", "family-names": "Schmidhuber"},
    ],
    "year": 2023,
    "conference": {"name": "International Conference on Learning Representations (ICLR)"},
    "identifiers": [{"type": "other", "value": "arXiv:2210.06184"}],
}


def publish(
    results: Path, out: Path, authors: Sequence[str] = (), licence: str | None = None
) -> list[str]:
    """Write the folder `out`, whole or not at all; the names of its files.

    Tables, figures and report are made anew from the bundle, so that `verify` can make them again.
    authors: `Family, Given`, or a group's name. licence: SPDX identifier for the results. UserError
    when the experiment is not finished, or `out` has something in it.
    """
    check_licence(licence)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; name a new folder by --out, or delete it")
    experiment = Experiment.read(results)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        pack(results, folder / artifacts.BUNDLE)
        remade = layout.remake(folder / artifacts.BUNDLE, Path(name))
        for part in layout.REMADE:
            os.replace(remade / part, folder / part)
        publication = Publication(
            experiment=experiment.name,
            configuration=experiment.as_json()["config"],
            versions=layout.versions(),
            datasets=data_sources(experiment, remade),
            trainings=training_records(experiment, remade),
            models=_export_models(experiment, results, folder, licence),
        )
        write_json(folder / layout.ABOUT, publication.model_dump())
        write_text(folder / layout.DATASHEET, datasheet(experiment, publication))
        write_text(folder / layout.README, _readme(experiment, folder, licence))
        digests = {
            "bundle.tar.gz": file_digest(folder / artifacts.BUNDLE),
            "experiment.json": file_digest(remade / artifacts.EXPERIMENT),
        }
        write_text(folder / layout.CITATION, citation(publication, authors, licence, digests))
        write_text(folder / layout.CHECKSUMS, layout.checksums(folder))
        if out.exists():
            out.rmdir()
        os.replace(folder, out)
    return [*layout.files(out), layout.CHECKSUMS]


def _export_models(
    experiment: Experiment, results: Path, folder: Path, licence: str | None
) -> dict[str, str]:
    """Export the scored generator of every run that has its weights: folder by digest of the run."""
    found = {}
    for run in experiment.runs:
        run_folder = results / run.folder
        if not RunFolder(run_folder).weights.exists():
            continue
        scores = [Score.read(run_folder / part.score_file) for part in experiment.protocols]
        name = layout.model_folder(run)
        checkpoint = experiment.config.evaluation.checkpoint
        export_run(run_folder, checkpoint, folder / name, licence=licence, scores=scores)
        found[run.digest] = name
    without = len(experiment.runs) - len(found)
    if without:
        log.warning("%d of %d runs have no weights", without, len(experiment.runs))
    return found


def _readme(experiment: Experiment, folder: Path, licence: str | None) -> str:
    front: dict[str, object] = {
        **({"license": licence} if licence else {}),
        "library_name": "fpa",
        "tags": ["fast-weight-painter", "gan", "benchmark"],
    }
    scores = folder / artifacts.table("scores", "md")
    table = scores.read_text(encoding="utf-8").rstrip() if scores.exists() else ""
    table = f"\n\n## Scores\n\n{table}" if table else ""
    there = [
        f"- `{name}`: {what}"
        for name, what in {
            artifacts.REPORT: "everything on one page, for a browser, offline",
            "tables": "scores as CSV, Markdown and LaTeX",
            "figures": "PNG and PDF",
            artifacts.BUNDLE: "what tables, figures and report are made from",
            layout.MODELS: "each scored generator: safetensors, configuration, model card",
            layout.DATASHEET: "what was run where, on which data",
            layout.ABOUT: "the same for programs",
            layout.CITATION: "how to cite this",
            layout.CHECKSUMS: "for `sha256sum -c`",
        }.items()
        if name in (layout.CITATION, layout.CHECKSUMS) or (folder / name).exists()
    ]
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n"
        f"# Results of {escape_markdown(experiment.name)}\n\n"
        "Fast Weight Painters (Irie & Schmidhuber, ICLR 2023), reproduced and measured with the "
        "Python package `fpa`.\n\n" + "\n".join(there) + table + "\n\n## Verify\n\n"
        "```\npython -m fpa verify .\n```\n\n"
        "makes every table and figure again from the bundle and compares digests. With the data, "
        "`--rescore 0.1 --data data` also samples from a tenth of the models and scores them again.\n"
    )


# Datasheet ------------------------------------------------------------------------------------


def training_records(experiment: Experiment, results: Path) -> list[TrainingRecord]:
    """One for each training of a finished experiment."""
    found = []
    for run in experiment.runs:
        summary = RunFolder(results / run.folder).read_summary()
        record = TrainingRecord(
            dataset=run.dataset,
            model=run.model,
            seed=run.seed,
            digest=run.digest,
            images=round(1000 * summary.kimg),
            steps=summary.steps,
            hours=round(summary.seconds_of_last_attempt / 3600, 3),
            machine=machine(summary.hardware),
            precision=summary.precision,
            versions=summary.versions,
            stages=summary.stages,
            images_sha256=summary.images_sha256,
        )
        found.append(record)
    return found


def data_sources(experiment: Experiment, results: Path) -> list[DataSource]:
    """Each data set of a finished experiment."""
    found: dict[str, DataSource] = {}
    for run in experiment.runs:
        summary = RunFolder(results / run.folder).read_summary()
        dataset = DatasetSpec.model_validate(summary.run["dataset"])
        source = source_of(dataset.source)
        found[run.dataset] = DataSource(
            dataset=run.dataset,
            source=dataset.source,
            description=source.description,
            page=source.page,
            licence=source.licence,
            citation=source.citation,
            images=dataset.count,
            resolution=dataset.resolution,
            images_sha256=summary.images_sha256,
        )
    return list(found.values())


def datasheet(experiment: Experiment, publication: Publication) -> str:
    """The datasheet as Markdown: machines, versions, hours, images, seeds, and the data's licences."""
    trainings = publication.trainings
    parts = [
        f"# Datasheet of {escape_markdown(experiment.name)}",
        _summary(experiment, trainings),
        "## Data",
        *(_data(source) for source in publication.datasets),
        "## Evaluation",
        *(_protocol(experiment, protocol) for protocol in experiment.protocols),
        "## Trainings",
        "Hours are those of a training's last attempt: what was done before an interruption is not "
        "in them. Digests cover everything that the weights depend on.",
        _table(experiment.labels, trainings),
        "## Versions",
        "Trainings:",
        "\n".join(f"- {escape_markdown(line)}" for line in _versions(trainings)),
        "Tables, figures and report: "
        + escape_markdown(", ".join(f"{k} {v}" for k, v in publication.versions.items()))
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _summary(experiment: Experiment, trainings: Sequence[TrainingRecord]) -> str:
    hours: dict[str, float] = {}
    for row in trainings:
        hours[row.machine] = hours.get(row.machine, 0) + row.hours
    where = "; ".join(f"{hours[name]:.1f} hours on {name}" for name in sorted(hours))
    seeds = ", ".join(map(str, experiment.config.seeds))
    images = sum(row.images for row in trainings)
    return escape_markdown(
        f"Trainings: {len(trainings)}; seeds: {seeds}; images seen in all: {images:,}; {where}."
    )


def _data(source: DataSource) -> str:
    count = f"{source.images:,} images" if source.images else "images"
    lines = [
        f"{source.dataset}: {source.description}; {count} at {source.resolution} px",
        f"Licence: {source.licence or 'not known'}",
        *([f"From: {source.page}"] if source.page else []),
        *([f"Cite: {source.citation}"] if source.citation else []),
    ]
    text = "\n".join(f"- {escape_markdown(line)}" for line in lines)
    return f"{text}\n- Digest of the prepared images: `{source.images_sha256}`"


def _protocol(experiment: Experiment, protocol: ProtocolEntry) -> str:
    evaluation = experiment.config.evaluation
    return "- " + escape_markdown(
        f"Protocol {protocol.name}: {counted(protocol.as_dict())}; {evaluation.checkpoint} "
        f"checkpoint, seed {evaluation.seed}"
    )


def _table(labels: dict[str, str], trainings: Sequence[TrainingRecord]) -> str:
    rows = [
        {
            "model": labels.get(row.model, row.model),
            "data set": row.dataset,
            "seed": row.seed,
            "images": f"{row.images:,}",
            "hours": f"{row.hours:.2f}",
            "machine": row.machine,
            "precision": ", ".join(row.precision) or "float32",
            "commit": row.commit or "not recorded",
            "digest": row.digest[:10],
        }
        for row in trainings
    ]
    return to_markdown(pd.DataFrame(rows).set_index("model"), "").strip()


def _versions(trainings: Sequence[TrainingRecord]) -> list[str]:
    """Every version of each library that a training ran with."""
    found: dict[str, set[str]] = {}
    for row in trainings:
        for name, version in row.versions.items():
            found.setdefault(name, set()).add(version)
    return [f"{name} {', '.join(sorted(found[name]))}" for name in sorted(found)]


# Citation (Citation File Format 1.2.0) --------------------------------------------------------


def check_licence(licence: str | None) -> None:
    """UserError unless a licence looks like an SPDX identifier."""
    if licence is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence):
        raise UserError(
            f"expected a licence's SPDX identifier, as in CC-BY-4.0 or MIT, found '{licence}'"
        )


def author(name: str) -> dict[str, str]:
    """An author as CFF has it: `Family, Given` is a person, anything else a group."""
    family, comma, given = (part.strip() for part in name.partition(","))
    return {"family-names": family, "given-names": given} if comma and given else {"name": family}


def citation(
    publication: Publication,
    authors: Sequence[str],
    licence: str | None,
    digests: dict[str, str],
) -> str:
    """CITATION.cff. digests: SHA-256 by file, of what a citation has to be able to name."""
    commit = publication.versions.get("commit")
    trained = sorted({row.commit or "not recorded" for row in publication.trainings})
    about: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them and the paper that they are about.",
        "type": "dataset",
        "title": f"Results of {publication.experiment}: Fast Weight Painters, reproduced and measured",
        "abstract": "Scores, tables, figures and models of an experiment, with what they are made from "
        f"(trainings: {len(publication.trainings)}). Made with fpa {fpa.__version__}; trained from the "
        f"commits: {', '.join(trained)}.",
        "authors": [author(name) for name in authors] or [{"name": layout.NOBODY}],
        "version": fpa.__version__,
        **({"commit": commit} if commit else {}),
        **({"license": licence} if licence else {}),
        "identifiers": [
            {"type": "other", "value": f"sha256:{digest}", "description": name}
            for name, digest in digests.items()
        ],
        "references": [PAPER],
    }
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
