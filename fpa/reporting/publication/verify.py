"""A published folder verified: its tables and figures made again, its models sampled from again."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpa.core import artifacts
from fpa.core.errors import UserError, one_line
from fpa.core.files import file_digest, read_json
from fpa.core.progress import log
from fpa.reporting.description import Description, by_features, read_description, score_file
from fpa.reporting.publication import layout


def verify(
    folder: Path,
    rescore: float = 0.0,
    data: Path = Path("data"),
    seed: int = 0,
    device: Any = None,
) -> list[str]:
    """What does not match, one sentence each; empty when everything does.

    Checksums of all files; every table, figure and the report, made again from the bundle in a
    temporary folder; models against the bundle's runs. rescore: the share of the models, at least
    one, drawn at random by `seed`, that are sampled from and scored again with the images in the
    folder `data`, on `device`. UserError when there is no such folder.
    """
    if not 0 <= rescore <= 1:
        raise UserError(f"--rescore is a share of the models, from 0 to 1, found {rescore}")
    about = read_publication(folder)
    problems = _wrong_checksums(folder)
    with tempfile.TemporaryDirectory(prefix="fpa-verify-") as name:
        scratch = Path(name)
        try:
            results = layout.remake(folder / artifacts.BUNDLE, scratch)
        except Exception as error:
            # Whatever the arrays and numbers of a made-up experiment lead to.
            return [*problems, f"the bundle cannot be used: {one_line(error)}"]
        made = _not_remade(folder, results)
        if made:
            made += _other_versions(about["versions"])
        problems += made
        description = read_description(results)
        problems += _wrong_models(folder, about["models"], description)
        if rescore:
            problems += _rescored(
                folder, about["models"], description, results, rescore, data, seed, scratch, device
            )
    return problems


def read_publication(folder: Path) -> dict[str, Any]:
    """What a published folder says of itself; UserError when it is none of this version."""
    path = folder / layout.ABOUT
    about = read_json(path, made_by="python -m fpa publish")
    whole = (
        isinstance(about, dict)
        and about.get("format") == layout.FORMAT
        and all(isinstance(about.get(key), dict) for key in ("configuration", "versions", "models"))
        and all(isinstance(about.get(key), list) for key in ("datasets", "trainings"))
    )
    if not whole:
        raise UserError(
            f"{path} is not one of this version; `python -m fpa publish` makes such a folder"
        )
    return about


def _wrong_checksums(folder: Path) -> list[str]:
    listed = layout.read_checksums(folder)
    there = list(layout.files(folder))
    problems = [f"{name} is missing" for name in listed if name not in there]
    for name in there:
        if (folder / name).is_symlink():
            problems.append(f"{name} is a link, not a file")
        elif name not in listed:
            problems.append(f"{name} is not in {layout.CHECKSUMS}")
        elif file_digest(folder / name) != listed[name]:
            problems.append(f"{name} is not the file that was published")
    log.info(
        "%d of %d files are those in %s", len(listed) - len(problems), len(listed), layout.CHECKSUMS
    )
    return problems


def _not_remade(folder: Path, results: Path) -> list[str]:
    """Tables, figures and report that the bundle does not give again."""

    def found(place: Path) -> dict[str, str]:
        return {
            name: file_digest(place / name)
            for name in layout.files(place)
            if name.split("/")[0] in layout.REMADE and not (place / name).is_symlink()
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


def _other_versions(published: Mapping[str, Any]) -> list[str]:
    """What may explain files that differ."""
    here = layout.versions()
    return [
        f"(made with {name} {version}, here is {here.get(name, 'none')})"
        for name, version in published.items()
        if here.get(name) != version
    ]


def _wrong_models(folder: Path, models: Mapping[str, Any], description: Description) -> list[str]:
    """Models that are not of the experiment, or whose card states something else."""
    runs = {run["digest"]: layout.model_folder(run) for run in description["runs"]}
    problems = []
    for digest, name in models.items():
        if runs.get(digest) != name:
            problems.append(f"{name!a} is no model of the experiment")
        elif _run_digest(folder / name) != digest:
            problems.append(f"{name} holds the model of another run")
    return problems


def _run_digest(model_folder: Path) -> object:
    """The digest of the run that an export says it is of; None without one."""
    path = model_folder / artifacts.GENERATOR_CONFIGURATION
    about = read_json(path) if path.exists() else None
    run = about.get("run") if isinstance(about, dict) else None
    return run.get("digest") if isinstance(run, dict) else None


def _rescored(
    folder: Path,
    models: Mapping[str, Any],
    description: Description,
    results: Path,
    share: float,
    data: Path,
    seed: int,
    scratch: Path,
    device: Any,
) -> list[str]:
    from fpa.evaluation.rescoring import differences
    from fpa.evaluation.rescoring import rescore as score_again
    from fpa.evaluation.scores import Score

    runs = [run for run in description["runs"] if run["digest"] in models]
    if not runs:
        return ["there is no model to sample from"]
    count = math.ceil(share * len(runs))
    chosen = np.random.default_rng(seed).choice(len(runs), count, replace=False)
    # Path lengths take no samples and are not measured again here.
    protocols = by_features(description)
    sampled = max(protocol["n_fake"] for protocol in protocols)
    problems = []
    for place in sorted(chosen.tolist()):
        run = runs[place]
        name = layout.model_folder(run)
        for protocol in protocols:
            score = Score.read(results / run["folder"] / score_file(protocol))
            found = score_again(folder / name, score, sampled, data, scratch, device)
            wrong = differences(score.metrics, found.metrics)
            log.info(
                "%s, protocol %s: %s samples; %s",
                name,
                protocol["name"],
                "the same" if found.same_samples else "not bit for bit the same",
                "its scores are as published" if not wrong else "its scores differ",
            )
            problems += [f"{name}, protocol {protocol['name']}: {what}" for what in wrong]
    return problems
