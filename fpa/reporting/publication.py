"""A published folder: what it holds, whether that is true, and what an archive would miss in it.

`python -m fpa publish` makes such a folder (fpa.reporting.publish). To verify it, its tables and
figures are made again, and samples are drawn from its models again. What archives ask for is authors, a
licence, a description and a stable list of files (the FAIR principles, Wilkinson et al. 2016; Citation
File Format 1.2.0). Artifact evaluations ask whether the artifact is documented, consistent, complete and
can be exercised (ACM's Artifact Review and Badging, 1.1).
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from fpa.core import artifacts, provenance
from fpa.core.errors import UserError, in_words, one_line
from fpa.core.files import file_digest, read_json, read_record
from fpa.core.lazy import torch
from fpa.core.progress import log
from fpa.evaluation import rescoring
from fpa.evaluation.scores import Score
from fpa.experiment.experiment import Experiment, RunEntry
from fpa.experiment.yaml_safety import read_yaml
from fpa.reporting.bundle import unpack
from fpa.reporting.make import make_report
from fpa.reporting.results import by_name
from fpa.reporting.tables.comparisons import FEWEST

ABOUT = "publication.json"
"""What was run where, for programs."""
README, DATASHEET, CITATION, CHECKSUMS = "README.md", "DATASHEET.md", "CITATION.cff", "SHA256SUMS"
MODELS = "models"
REMADE = ("tables", "figures", artifacts.REPORT)
"""What the bundle gives again."""
DRAWN_BY = ("matplotlib", "seaborn", "jinja2")
"""Libraries that tables, figures and report depend on, beside those that every artifact names."""
NOBODY = "authors not named"


# What it says and holds -----------------------------------------------------------------------


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class DataSource(Part):
    """A data set: where its images are from, how many, their licence and digest."""

    dataset: str
    """In the configuration."""
    source: str
    description: str
    page: str
    licence: str
    citation: str
    images: int | None
    resolution: int
    images_sha256: str | None


class TrainingRecord(Part):
    """A training: what was trained, on what, where and with what."""

    dataset: str
    model: str
    seed: int
    digest: str
    images: int
    """Seen in all."""
    steps: int
    hours: float
    """Of the last attempt."""
    machine: str
    precision: list[str]
    """What was less exact than float32."""
    versions: dict[str, str]
    stages: dict[str, int]
    images_sha256: str | None

    @property
    def commit(self) -> str:
        """Of the code that trained; empty where it is not recorded."""
        return self.versions.get("commit", "")


class Publication(Part):
    """What a published folder says of itself, for programs (publication.json)."""

    format: Literal[1] = 1
    experiment: str
    configuration: dict[str, JsonValue]
    versions: dict[str, str]
    """Of what made tables, figures and report."""
    datasets: list[DataSource]
    trainings: list[TrainingRecord]
    models: dict[str, str]
    """Folder of each exported generator, by its run's digest."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What a folder says; UserError when it is not a published one of this version."""
        wrong = "is not one of this version; `python -m fpa publish` makes such a folder"
        return read_record(cls, folder / ABOUT, wrong, made_by="python -m fpa publish")


def versions() -> dict[str, str]:
    """What makes tables, figures and report here."""
    return {**provenance.versions(), **{name: metadata.version(name) for name in DRAWN_BY}}


def model_folder(run: RunEntry) -> str:
    """The folder of a run's exported generator."""
    return f"{MODELS}/{run.dataset}-{run.model}-seed{run.seed}-{run.digest[:10]}"


def files(folder: Path) -> Iterator[str]:
    """Every file below a folder, sorted, the list of checksums left out."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (path.is_file() or path.is_symlink()) and name != CHECKSUMS:
            yield name


def checksums(folder: Path) -> str:
    """The list of checksums, as `sha256sum -c` reads it."""
    return "".join(f"{file_digest(folder / name)}  {name}\n" for name in files(folder))


def read_checksums(folder: Path) -> dict[str, str]:
    """Digest by file, as the list says; UserError when there is none that can be used."""
    path = folder / CHECKSUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path}; `python -m fpa publish` makes such a folder"
        ) from error
    found = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        pure = PurePosixPath(name)
        if len(digest) != 64 or str(pure) != name or pure.is_absolute() or ".." in pure.parts:
            raise UserError(f"{path} has a line that is not a file's checksum: {line!a}")
        found[name] = digest
    return found


def remake(bundle: Path, scratch: Path) -> Path:
    """Tables, figures and report from a bundle alone; the results folder, in `scratch`."""
    results = unpack(bundle, scratch / "results")
    make_report(results)
    return results


# Verified -------------------------------------------------------------------------------------


def verify(
    folder: Path,
    rescore: float = 0.0,
    data: Path = Path("data"),
    seed: int = 0,
    device: torch.device | None = None,
) -> list[str]:
    """What does not match, one sentence each; empty when everything does.

    Checksums of all files; every table, figure and the report, made again from the bundle in a
    temporary folder; models against the bundle's runs. rescore: the share of the models, at least
    one, drawn at random by `seed`, that are sampled from and scored again with the images in the
    folder `data`, on `device`. UserError when there is no such folder.
    """
    publication = Publication.read(folder)
    problems = _wrong_checksums(folder)
    with tempfile.TemporaryDirectory(prefix="fpa-verify-") as name:
        scratch = Path(name)
        try:
            results = remake(folder / artifacts.BUNDLE, scratch)
        except Exception as error:
            # Whatever the arrays and numbers of a made-up experiment lead to.
            return [*problems, f"the bundle cannot be used: {one_line(error)}"]
        made = _not_remade(folder, results)
        if made:
            made += _other_versions(publication.versions)
        experiment = Experiment.read(results)
        problems += made + _wrong_models(folder, publication.models, experiment)
        runs = [run for run in experiment.runs if run.digest in publication.models]
        if rescore and not runs:
            problems.append("there is no model to sample from")
        elif rescore:
            count = math.ceil(rescore * len(runs))
            chosen = np.random.default_rng(seed).choice(len(runs), count, replace=False)
            for place in sorted(chosen.tolist()):
                run = runs[place]
                model, scored = folder / model_folder(run), results / run.folder
                try:
                    problems += _other_scores(model, experiment, scored, data, scratch, device)
                except UserError as error:
                    raise UserError(f"{error}{_missing_plugins(experiment)}") from error
    return problems


def _missing_plugins(experiment: Experiment) -> str:
    """The end of a message where an experiment has plugins that are not here: what imports them."""
    missing = [name for name in experiment.config.plugins if name not in sys.modules]
    if not missing:
        return ""
    return (
        f"; the experiment has plugins, which run their code: if you trust them, put FPA_PLUGINS="
        f"{','.join(missing)} before the command, in a folder that holds them"
    )


def _wrong_checksums(folder: Path) -> list[str]:
    listed = read_checksums(folder)
    there = list(files(folder))
    problems = [f"{name} is missing" for name in listed if name not in there]
    for name in there:
        if (folder / name).is_symlink():
            problems.append(f"{name} is a link, not a file")
        elif name not in listed:
            problems.append(f"{name} is not in {CHECKSUMS}")
        elif file_digest(folder / name) != listed[name]:
            problems.append(f"{name} is not the file that was published")
    log.info("%d of %d files are those in %s", len(listed) - len(problems), len(listed), CHECKSUMS)
    return problems


def _not_remade(folder: Path, results: Path) -> list[str]:
    """Tables, figures and report that the bundle does not give again."""

    def found(place: Path) -> dict[str, str]:
        return {
            name: file_digest(place / name)
            for name in files(place)
            if name.split("/")[0] in REMADE and not (place / name).is_symlink()
        }

    published, made = found(folder), found(results)
    same = sum(published.get(name) == digest for name, digest in made.items())
    log.info("%d of %d tables, figures and pages are the same, made again", same, len(made))
    problems = []
    for name in sorted({*published, *made}):
        if name not in made:
            problems.append(f"{name} is not made from the bundle")
        elif name not in published:
            problems.append(f"{name}, which the bundle gives, is missing")
        elif published[name] != made[name]:
            problems.append(f"{name} is another file when it is made again")
    return problems


def _other_versions(published: dict[str, str]) -> list[str]:
    """What may explain files that differ."""
    here = versions()
    return [
        f"(made with {name} {version}, here is {here.get(name, 'none')})"
        for name, version in published.items()
        if here.get(name) != version
    ]


def _wrong_models(folder: Path, models: dict[str, str], experiment: Experiment) -> list[str]:
    """Models that are not of the experiment, or whose card states something else."""
    folders = {run.digest: model_folder(run) for run in experiment.runs}
    problems = []
    for digest, name in models.items():
        if folders.get(digest) != name:
            problems.append(f"{name!a} is not a model of the experiment")
        elif _run_digest(folder / name) != digest:
            problems.append(f"{name} holds the model of another run")
    return problems


def _run_digest(model_folder: Path) -> object:
    """The digest of the run that an export says it is of; None without one."""
    path = model_folder / artifacts.GENERATOR_CONFIGURATION
    about = read_json(path) if path.exists() else None
    run = about.get("run") if isinstance(about, dict) else None
    return run.get("digest") if isinstance(run, dict) else None


def _other_scores(
    model: Path,
    experiment: Experiment,
    run_folder: Path,
    data: Path,
    scratch: Path,
    device: torch.device | None,
) -> list[str]:
    """Scores of an exported model that are others than its run's, measured again."""
    # Path lengths take no samples and are not measured again here.
    protocols = experiment.by_features
    sampled = max(protocol.n_fake for protocol in protocols)
    problems = []
    for protocol in protocols:
        score = Score.read(run_folder / protocol.score_file)
        same_samples, found = rescoring.rescore(
            model, score, sampled, data, scratch, device or torch.device("cpu")
        )
        wrong = rescoring.differences(score.metrics, found)
        name = f"{MODELS}/{model.name}, protocol {protocol.name}"
        samples = "the same" if same_samples else "not bit for bit the same"
        scores = "differ" if wrong else "are as published"
        log.info("%s: %s samples; its scores %s", name, samples, scores)
        problems += [f"{name}: {what}" for what in wrong]
    return problems


# What is missing ------------------------------------------------------------------------------


def missing(folder: Path) -> list[str]:
    """What is missing, one sentence each, with what to do; UserError when it is not such a folder."""
    about = Publication.read(folder)
    path = folder / CITATION
    citation = read_yaml(path, "the citation") if path.exists() else {}
    citation = citation if isinstance(citation, dict) else {}
    found = [*_files(folder)]
    authors = citation.get("authors")
    if not isinstance(authors, list) or not authors or {"name": NOBODY} in authors:
        found.append(f"{CITATION} names no authors: publish with --author 'Family, Given'.")
    licence = str(citation.get("license") or "")
    if not licence:
        found.append(
            "No licence says what others may do with the results: publish with --licence, as in "
            "--licence CC-BY-4.0."
        )
    return [*found, *_data(about, licence), *_code(about), *_trainings(about), *_private(about)]


def _files(folder: Path) -> Iterator[str]:
    wanted = [README, DATASHEET, CITATION, CHECKSUMS, artifacts.BUNDLE, artifacts.REPORT]
    absent = [name for name in wanted if not (folder / name).is_file()]
    if absent:
        yield f"There is no {in_words(absent)}: publish the results again."
    if (folder / CHECKSUMS).is_file():
        listed = read_checksums(folder)
        unlisted = [name for name in files(folder) if name not in listed]
        if unlisted:
            yield (
                f"Files without a checksum: {len(unlisted)}, the first is {unlisted[0]}: publish the "
                "results again, or take them out."
            )


def _data(about: Publication, licence: str) -> Iterator[str]:
    """Whether others get the data sets, and may use what was made of them. licence: the results'."""
    for dataset in about.datasets:
        name, terms = dataset.dataset, dataset.licence
        if not terms:
            yield (
                f"The licence of the data set {name} is not known: state it in the datasheet, and "
                "whether models trained on it may be shared."
            )
        restricted = any(word in terms.lower() for word in ("-nc", "non-commercial", "research"))
        if restricted and licence and "NC" not in licence:
            yield (
                f"The data set {name} is for non-commercial use ({terms}), the licence {licence} "
                "of the results is not: choose another, or say why it may be."
            )
        if dataset.source == "folder":
            yield (
                f"The images of {name} are your own: say in the README where others get them, or that "
                "they cannot."
            )


def _code(about: Publication) -> Iterator[str]:
    """Whether the code that trained can be found again."""
    trained = [row.commit for row in about.trainings]
    here = about.versions.get("commit", "")
    nameless = sum(not commit for commit in trained)
    if nameless:
        yield (
            "Trainings that do not say which commit they were made from: "
            f"{nameless} of {len(trained)}: train in a checkout, or state the version's archive."
        )
    changed = sorted({c for c in [*trained, here] if c.endswith("-dirty")})
    if changed:
        yield (
            f"{in_words(changed)}: made from a checkout with changes that are in no commit: commit "
            "them and make it again."
        )
    commits = sorted({commit for commit in trained if commit})
    if len(commits) > 1:
        yield (
            f"The trainings are from {len(commits)} commits ({', '.join(commits)}): say in the "
            "README what changed between them, or train again."
        )


def _trainings(about: Publication) -> Iterator[str]:
    """Whether the results are complete, and made alike."""
    rows = about.trainings
    without = [row for row in rows if row.digest not in about.models]
    if without:
        yield (
            f"Trained generators that are not there: {len(without)} of {len(rows)}: publish from "
            "the results folder in which they were trained."
        )
    trainings = Counter((row.dataset, row.model) for row in rows)
    few = sorted({model for (_, model), count in trainings.items() if count < FEWEST})
    if few:
        yield (
            f"Fewer than {FEWEST} trainings of {in_words(few)}: no comparison can be judged; add "
            "seeds."
        )
    stages = by_name(row.stages for row in rows)
    mixed = sorted(stage for stage, versions in stages.items() if len(versions) > 1)
    if mixed:
        yield f"Trainings are of several versions of stage {in_words(mixed)}: train again."
    if len({(row.dataset, row.images_sha256) for row in rows}) > len({row.dataset for row in rows}):
        yield "Trainings of one data set saw different images: prepare it once and train again."


def _private(about: Publication) -> Iterator[str]:
    """What a description of an experiment tells about the machine that it ran on."""
    paths = [path for path in _texts(about.configuration) if PurePath(path).is_absolute()]
    if paths:
        yield (
            f"The configuration in the bundle names folders of your machine, as {paths[0]}: use "
            "relative paths, or make sure that they may be public."
        )


def _texts(value: JsonValue) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
