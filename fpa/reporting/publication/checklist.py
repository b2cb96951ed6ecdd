"""What a published folder lacks, by what archives and artifact evaluations ask for.

Archives ask for authors, a licence, a description and a stable list of files (the FAIR principles,
Wilkinson et al. 2016; Citation File Format 1.2.0). Artifact evaluations ask whether the artifact is
documented, consistent, complete and can be exercised (ACM's Artifact Review and Badging, 1.1).
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import yaml

from fpa.core import artifacts
from fpa.core.errors import UserError
from fpa.core.words import in_words
from fpa.reporting.publication import layout
from fpa.reporting.publication.citation import NOBODY
from fpa.reporting.publication.verify import read_publication
from fpa.reporting.tables.pairwise import FEWEST


class Published(NamedTuple):
    """A folder and what it says of itself."""

    folder: Path
    about: Mapping[str, Any]
    citation: Mapping[str, Any]


def missing(folder: Path) -> list[str]:
    """What is missing, one sentence each, with what to do; UserError when it is no such folder."""
    about = read_publication(folder)
    path = folder / layout.CITATION
    try:
        citation = yaml.safe_load(path.read_text()) if path.exists() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML; publish the results again") from error
    published = Published(folder, about, citation if isinstance(citation, dict) else {})
    try:
        return [sentence for check in CHECKS for sentence in check(published)]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / layout.ABOUT} does not describe trainings as `python -m fpa publish` does"
        ) from error


def _files(published: Published) -> Iterator[str]:
    wanted = [layout.README, layout.DATASHEET, layout.CITATION, layout.CHECKSUMS]
    wanted += [artifacts.BUNDLE, artifacts.REPORT]
    absent = [name for name in wanted if not (published.folder / name).is_file()]
    if absent:
        yield f"There is no {in_words(absent)}: publish the results again."
    if (published.folder / layout.CHECKSUMS).is_file():
        unlisted = [
            name
            for name in layout.files(published.folder)
            if name not in layout.read_checksums(published.folder)
        ]
        if unlisted:
            yield (
                f"Files without a checksum: {len(unlisted)}, the first is {unlisted[0]}: publish the "
                "results again, or take them out."
            )


def _authors(published: Published) -> Iterator[str]:
    names = published.citation.get("authors") or []
    if not names or {"name": NOBODY} in names:
        yield f"{layout.CITATION} names no authors: publish with --author 'Family, Given'."


def _licences(published: Published) -> Iterator[str]:
    licence = published.citation.get("license")
    if not licence:
        yield (
            "No licence says what others may do with the results: publish with --licence, as in "
            "--licence CC-BY-4.0."
        )
    for dataset in published.about["datasets"]:
        name, terms = dataset["dataset"], dataset["licence"]
        if not terms:
            yield (
                f"The licence of the data set {name} is not known: state it in the datasheet, and "
                "whether models trained on it may be shared."
            )
        elif licence and _not_commercial(terms) and "NC" not in licence:
            yield (
                f"The data set {name} is for non-commercial use ({terms}), the licence {licence} "
                "of the results is not: choose another, or say why it may be."
            )


def _not_commercial(terms: str) -> bool:
    return any(word in terms.lower() for word in ("-nc", "non-commercial", "research"))


def _code(published: Published) -> Iterator[str]:
    """Whether the code that trained can be found again."""
    trained = [row["versions"].get("commit", "") for row in published.about["trainings"]]
    here = published.about["versions"].get("commit", "")
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


def _trainings(published: Published) -> Iterator[str]:
    """Whether the results are complete, and made alike."""
    rows = published.about["trainings"]
    models = published.about["models"]
    without = [row for row in rows if row["digest"] not in models]
    if without:
        yield (
            f"Trained generators that are not there: {len(without)} of {len(rows)}: publish from "
            "the results folder in which they were trained."
        )
    seeds: dict[tuple[str, str], set[int]] = {}
    stages: dict[str, set[int]] = {}
    for row in rows:
        seeds.setdefault((row["dataset"], row["model"]), set()).add(row["seed"])
        for stage, version in row["stages"].items():
            stages.setdefault(stage, set()).add(version)
    few = sorted({model for (_, model), found in seeds.items() if len(found) < FEWEST})
    if few:
        yield (
            f"Fewer than {FEWEST} trainings of {in_words(few)}: no comparison can be judged; add "
            "seeds."
        )
    mixed = sorted(stage for stage, versions in stages.items() if len(versions) > 1)
    if mixed:
        yield f"Trainings are of several versions of stage {in_words(mixed)}: train again."
    if any(len({r["images_sha256"] for r in rows if r["dataset"] == d}) > 1 for d, _ in seeds):
        yield "Trainings of one data set saw different images: prepare it once and train again."


def _data(published: Published) -> Iterator[str]:
    for dataset in published.about["datasets"]:
        if dataset["source"] == "folder":
            yield (
                f"The images of {dataset['dataset']} are your own: say in the README where others "
                "get them, or that they cannot."
            )


def _private(published: Published) -> Iterator[str]:
    """What a description of an experiment tells about the machine that it ran on."""
    paths = [
        path for path in _texts(published.about["configuration"]) if PurePath(path).is_absolute()
    ]
    if paths:
        yield (
            f"The configuration in the bundle names folders of your machine, as {paths[0]}: use "
            "relative paths, or make sure that they may be public."
        )


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


CHECKS: tuple[Callable[[Published], Iterator[str]], ...] = (
    *(_files, _authors, _licences, _code, _trainings, _data, _private),
)
