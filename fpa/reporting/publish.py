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
from fpa.experiment.experiment import Experiment, RunEntry
from fpa.reporting import publication as layout
from fpa.reporting.bundle import pack
from fpa.reporting.model_card import export_run, machine, source_of
from fpa.reporting.publication import DataSource, Publication, TrainingRecord
from fpa.reporting.report import template
from fpa.reporting.results import by_name
from fpa.reporting.tables.rendering import to_markdown
from fpa.runs.folder import RunFolder, TrainingSummary

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
        runs = [(run, RunFolder(remade / run.folder).read_summary()) for run in experiment.runs]
        publication = Publication(
            experiment=experiment.name,
            configuration=experiment.as_json()["config"],
            versions=layout.versions(),
            datasets=list(
                {run.dataset: data_source(run, trained) for run, trained in runs}.values()
            ),
            trainings=[training_record(run, trained) for run, trained in runs],
            models=_export_models(experiment, results, folder, licence),
        )
        write_json(folder / layout.ABOUT, publication.model_dump())
        write_text(folder / layout.DATASHEET, datasheet(experiment, publication))
        scores = (folder / artifacts.table("scores", "md")).read_text(encoding="utf-8").rstrip()
        readme = template("publication.md.jinja").render(
            experiment=experiment, publication=publication, licence=licence, scores=scores
        )
        write_text(folder / layout.README, readme)
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
    checkpoint = experiment.config.evaluation.checkpoint
    for run in experiment.runs:
        run_folder = results / run.folder
        if RunFolder(run_folder).weights.exists():
            scores = [Score.read(run_folder / part.score_file) for part in experiment.protocols]
            name = found[run.digest] = layout.model_folder(run)
            export_run(run_folder, checkpoint, folder / name, licence=licence, scores=scores)
    without = len(experiment.runs) - len(found)
    if without:
        log.warning("%d of %d runs have no weights", without, len(experiment.runs))
    return found


# Datasheet ------------------------------------------------------------------------------------


def training_record(run: RunEntry, summary: TrainingSummary) -> TrainingRecord:
    """What is published of a finished training."""
    return TrainingRecord(
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


def data_source(run: RunEntry, summary: TrainingSummary) -> DataSource:
    """What is published of the data set of a finished training."""
    dataset = DatasetSpec.model_validate(summary.run["dataset"])
    source = source_of(dataset.source)
    return DataSource(
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


def datasheet(experiment: Experiment, publication: Publication) -> str:
    """The datasheet as Markdown: machines, versions, hours, images, seeds, and the data's licences."""
    rows = [
        {
            "model": experiment.labels[row.model],
            "data set": row.dataset,
            "seed": row.seed,
            "images": f"{row.images:,}",
            "hours": f"{row.hours:.2f}",
            "machine": row.machine,
            "precision": ", ".join(row.precision) or "float32",
            "commit": row.commit or "not recorded",
            "digest": row.digest[:10],
        }
        for row in publication.trainings
    ]
    return template("datasheet.md.jinja").render(
        experiment=experiment,
        publication=publication,
        counted=counted,
        trainings=to_markdown(pd.DataFrame(rows).set_index("model"), "").strip(),
        versions=dict(sorted(by_name(row.versions for row in publication.trainings).items())),
    )


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
