"""A finished experiment as one folder for an archive or a model hub."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.files import file_digest, read_json, write_json, write_text
from fpa.core.progress import log
from fpa.reporting.bundle import pack
from fpa.reporting.description import Description, read_description, score_file
from fpa.reporting.publication import datasheet, layout
from fpa.reporting.publication.citation import check_licence, citation
from fpa.reporting.publication.exports import export_run
from fpa.reporting.tables.writing import escape_markdown


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
    about = read_description(results)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        pack(results, folder / artifacts.BUNDLE)
        remade = layout.remake(folder / artifacts.BUNDLE, Path(name))
        for part in layout.REMADE:
            os.replace(remade / part, folder / part)
        publication = {
            "format": layout.FORMAT,
            "experiment": about["experiment"],
            "configuration": about["config"],
            "versions": layout.versions(),
            "datasets": datasheet.datasets(about, remade),
            "trainings": datasheet.rows(about, remade),
            "models": _export_models(about, results, folder, licence),
        }
        write_json(folder / layout.ABOUT, publication)
        write_text(folder / layout.DATASHEET, datasheet.datasheet(about, publication))
        write_text(folder / layout.README, _readme(about, folder, licence))
        digests = {
            "bundle.tar.gz": file_digest(folder / artifacts.BUNDLE),
            "experiment.json": file_digest(remade / artifacts.EXPERIMENT),
        }
        text = citation(about["experiment"], authors, licence, publication, digests)
        write_text(folder / layout.CITATION, text)
        write_text(folder / layout.CHECKSUMS, layout.checksums(folder))
        if out.exists():
            out.rmdir()
        os.replace(folder, out)
    return [*layout.files(out), layout.CHECKSUMS]


def _export_models(
    about: Description, results: Path, folder: Path, licence: str | None
) -> dict[str, str]:
    """Export the scored generator of every run that has its weights: folder by digest of the run."""
    checkpoint = about["config"]["evaluation"]["checkpoint"]
    found = {}
    for run in about["runs"]:
        run_folder = results / run["folder"]
        if not (run_folder / artifacts.WEIGHTS).exists():
            continue
        scores = [read_json(run_folder / score_file(protocol)) for protocol in about["protocols"]]
        name = layout.model_folder(run)
        export_run(run_folder, checkpoint, folder / name, licence=licence, scores=scores)
        found[run["digest"]] = name
    if len(found) < len(about["runs"]):
        log.warning("%d of %d runs have no weights", len(about["runs"]) - len(found), len(found))
    return found


def _readme(about: Description, folder: Path, licence: str | None) -> str:
    front: dict[str, Any] = {
        **({"license": licence} if licence else {}),
        "library_name": "fpa",
        "tags": ["fast-weight-painter", "gan", "benchmark"],
    }
    scores = folder / artifacts.table("scores", "md")
    table = f"\n\n## Scores\n\n{scores.read_text().rstrip()}" if scores.exists() else ""
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
        f"# Results of {escape_markdown(about['experiment'])}\n\n"
        "Fast Weight Painters (Irie & Schmidhuber, ICLR 2023), reproduced and measured with the "
        "Python package `fpa`.\n\n" + "\n".join(there) + table + "\n\n## Verify\n\n"
        "```\npython -m fpa verify .\n```\n\n"
        "makes every table and figure again from the bundle and compares digests. With the data, "
        "`--rescore 0.1 --data data` also samples from a tenth of the models and scores them again.\n"
    )
